"""What every demo on the sandbox has: people who play their parts, facts shown as they come, and a look at the world.

A demo plays the people's parts through the same doors that people use: runs are started and questions answered by
Airflow's REST API, VOs follow the link in their mails, patches move in the tracker. At the end it looks at the
world itself (sites, information system, mail sink, tracker, production repository, published pages), not only at
the facts. Nothing is shortened but the waiting times of policies.yaml.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import requests

from pps.domain.base.errors import NotYetAllowedError, ServiceError
from pps.domain.packages.patch import Patch
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Platform
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo.people import People
from pps.sandbox.grid.control import GridControl
from pps.sandbox.grid.smtp import kept_mails, read_mail
from pps.sandbox.provider.packages import ProviderPackages
from pps.sandbox.provider.provider import offer_patch, real_or_sample_packages
from pps.services import Services

_ENDED = ("success", "failed")
_LINK = re.compile(r"https?://[^\s/]++(?:/[^\s/?]++){0,9}?/pps/feedback/[^\s?/]++\?vo=[^\s&]++&token=[A-Za-z0-9_.-]+")
_PAUSE_S = 0.3

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Table:
    """Rows of a summary."""

    key: str
    """its name in JSON"""
    title: str
    columns: Mapping[str, str]
    """key of a row -> heading"""
    rows: Sequence[Mapping[str, str]]


@dataclass
class DemoSummary:
    """What came of it."""

    rollout: str
    run_state: str
    problems: list[str] = field(default_factory=list)
    """what is not as it should be; empty when all of it really happened"""
    remarks: list[str] = field(default_factory=list)
    """what this machine could not show, and why"""
    tables: list[Table] = field(default_factory=list)
    mails: list[tuple[str, str]] = field(default_factory=list)
    """(recipient, subject)"""
    places: dict[str, Path] = field(default_factory=dict)
    """what lies where"""
    texts: dict[str, str] = field(default_factory=dict)
    """title -> text, shown word for word"""
    jdl: str = ""
    done: str = ""
    """one sentence, true if there are no problems"""

    def expect(self, so: object, otherwise: str) -> None:
        """Note a problem unless it is so."""
        if not so:
            self.problems.append(otherwise)


def answer_invitation(mails: Path, vo: str, opinion: str, text: str, rollout: str = "") -> int | None:
    """Answer as a VO's people do: open the newest invitation, follow its link, send the form.

    Args:
        rollout: the newest of this one; "": of all.

    Returns:
        The HTTP status, or None while the mail has not come.
    """
    link = None
    for mail in reversed(kept_mails(mails, to=f"{vo}-")):
        body = read_mail(mails, mail).get_body(("plain",))
        if body is not None and (found := _LINK.search(body.get_content())):
            if rollout and f"/{rollout}?" not in found[0]:
                continue
            link = found[0]
            break
    if link is None:
        return None
    page = requests.get(link, timeout=10)
    token = re.search(r'name="token" value="([^"]*)"', page.text)
    form = {"vo": vo, "opinion": opinion, "text": text, "author": f"{vo} support", "token": token[1] if token else ""}
    return requests.post(link.partition("?")[0], data=form, timeout=10).status_code


class Demo(ABC):
    """One run of a demo. `fetch` while the installation starts; when it is up, `offer`, then `run`."""

    fewest_sites: ClassVar[int] = 6
    policies: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    """section of policies.yaml -> key -> value, where the sandbox's own are too long or too short for this demo"""
    longest_s: ClassVar[float] = 300.0
    answers: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """VO -> what it answers; the other VOs stay silent until the agreed date"""

    def __init__(self, installation: Installation, tell: Tell, on_fact: Callable[[Fact], None]) -> None:
        """`tell`: one line of progress; `on_fact`: a fact that has just been recorded."""
        self.installation = installation
        self.tell = tell
        self.on_fact = on_fact
        self.people = People(installation)
        self._began = time.monotonic()
        self._shown: dict[str, int] = {}
        self._answered: set[str] = set()

    # --- before ---

    def fetch(self, cache: Path, *, real: bool | None) -> ProviderPackages:
        """Get what takes long; needs nothing of the installation. `real` as for `real_or_sample_packages`."""
        provided, is_real = real_or_sample_packages(cache, real=real)
        size = sum(f.stat().st_size for f in provided.files) / 1e6
        kind = "real grid clients" if is_real else "sample packages"
        self.tell(f"the provider has {len(provided.files)} packages ({kind}, {size:.0f} MB)")
        return provided

    @abstractmethod
    def offer(self, provided: ProviderPackages) -> Patch:
        """The provider's part: publish the packages, and submit the patch."""

    def publish(self, provided: ProviderPackages, **different: Any) -> Patch:
        """Packages into the provider's repository, a patch into the tracker; `different` as in `offer_patch`."""
        grid = self.installation.grid
        tracker: Any = self.services.tracker
        where = (Path(grid["repository_folder"]), grid["services"]["repository"])
        return offer_patch(*where, tracker, provided, self.platform, **different)

    # --- the run ---

    @abstractmethod
    def run(self, patch: Patch) -> DemoSummary:
        """Start, play the people until the run has ended, and look at what came of it."""

    def follow(self, dag: str, run: str, names: Sequence[str], play: Callable[[], None]) -> str:
        """Show the facts of these rollouts and let the people play until the run has ended; returns its state.

        Raises:
            ServiceError: it takes too long.
        """
        client = self.people.client("release-manager")
        began, state = time.monotonic(), ""
        while state not in _ENDED:
            if time.monotonic() - began > self.longest_s:
                open_ones = [
                    f"{t.task} {t.state}" for t in client.tasks(dag, run) if t.state not in ("success", "skipped")
                ]
                why = f"is not done after {self.longest_s:.0f} s: {', '.join(open_ones)}."
                raise ServiceError("demo", why, "Look at Airflow's logs; on a machine that is busy, try again.")
            time.sleep(_PAUSE_S)
            state = client.run_state(dag, run)
            self.show(names)
            play()
        self.show(names)
        return state

    def show(self, names: Sequence[str]) -> None:
        """Show what is new in these rollouts."""
        for name in names:
            facts = self.record(name).facts
            for fact in facts[self._shown.get(name, 0) :]:
                self.on_fact(fact)
            self._shown[name] = len(facts)

    def record(self, name: str) -> Rollout:
        """The facts of a rollout; none before Airflow has opened it."""
        try:
            return self.services.facts.rollout(name)
        except NotYetAllowedError:
            return Rollout(name)

    def failures(self, dag: str, run: str) -> str:
        """Tasks of a run that failed."""
        tasks = self.people.client("release-manager").tasks(dag, run)
        return ", ".join(f"{t.task} {t.state}" for t in tasks if t.state in ("failed", "upstream_failed"))

    def vo_answers(self, vo: str) -> None:
        """A VO answers by the link in its mail, once; nothing while the mail has not come."""
        opinion, text = self.answers[vo]
        status = answer_invitation(self.mails, vo, opinion, text)
        if status is not None:
            self._answered.add(vo)
            self.tell(f"{vo} answers {opinion!r} by the link in its mail: HTTP {status}")

    @property
    def silent_vos(self) -> list[str]:
        """VOs that are going to answer, and have not yet."""
        return [vo for vo in self.answers if vo not in self._answered]

    # --- the world ---

    @cached_property
    def services(self) -> Services:
        """The product's services."""
        return self.installation.services()

    @property
    def platform(self) -> Platform:
        """Of the sandbox's sites."""
        return Platform.parse(self.installation.grid["made_with"]["platform"])

    @property
    def mails(self) -> Path:
        """The mail sink."""
        return Path(self.installation.grid["mails"])

    @property
    def www(self) -> Path:
        """The publication folder; the sandbox keeps it on this machine's disk."""
        return Path(self.services.publication_folder.root.path)

    @property
    def production(self) -> Path:
        """The production repository."""
        return Path(self.services.production_repository.path)

    def sites_there(self) -> dict[str, Mapping[str, Any]]:
        """Every site as the grid itself sees it."""
        return {s["name"]: s for s in GridControl(self.installation.grid_folder).status()["sites"]}

    def tags_seen(self) -> dict[str, frozenset[str]]:
        """Site -> the tags that the information system shows there."""
        sites = self.services.config.sites.values()
        seen = self.services.information_system.tags_of([s.subcluster for s in sites])
        return {site.name: frozenset(map(str, seen.get(site.subcluster, frozenset()))) for site in sites}
