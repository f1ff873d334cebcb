"""The main job on the sandbox: one real client patch through SD 4.1.1, and what came of it.

Nothing is shortened but the waiting times of policies.yaml. The demo plays the people's parts through the
same doors that people use: it starts the rollout by Airflow's REST API as the Release Manager, answers as
two VOs over the link in their mails, and certifies the patch in the tracker. At the end it looks
at the world itself (sites, information system, mail sink, production repository), not only at the facts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests

from pps.domain.errors import NotYetAllowedError, ServiceError
from pps.domain.facts import Fact, FactKind
from pps.domain.feedback import Outcome, outcome
from pps.domain.patches import Patch, PatchState
from pps.domain.rollouts import Rollout, SiteState
from pps.domain.tags import jdl_requirement
from pps.sandbox.control import GridControl
from pps.sandbox.installation import Installation
from pps.sandbox.smtp import kept_mails, read_mail

DAG = "bc_client_update"
#: VO -> what it answers; the other VOs stay silent until the agreed date.
ANSWERS = {
    "atlas": ("works", "Ran our pilot jobs with the preview at three sites: proxies are renewed in time."),
    "cms": ("comment", "Copies are fine. Please mention the new fallback in the manual page."),
}
_LONGEST_S = 240.0
_ENDED = ("success", "failed")
_LINK = re.compile(r"https?://\S+/pps/feedback/\S+token=[A-Za-z0-9_-]+")


@dataclass
class Summary:
    """What came of it."""

    rollout: Rollout
    run_state: str
    problems: list[str] = field(default_factory=list)
    """what is not as it should be; empty when all of it really happened"""
    sites: list[Mapping[str, str]] = field(default_factory=list)
    """site, state, holds (version at the site), probes, tag (seen in the information system), reason"""
    mails: list[tuple[str, str]] = field(default_factory=list)
    """(recipient, subject)"""
    places: dict[str, Path] = field(default_factory=dict)
    """what lies where"""
    release_notes: str = ""
    jdl: str = ""


def answer_invitation(mails: Path, vo: str, opinion: str, text: str) -> int | None:
    """Answer as a VO's people do: open the newest invitation, follow its link, send the form.

    Returns:
        The HTTP status, or None while the mail has not come.
    """
    link = None
    for mail in reversed(kept_mails(mails, to=f"{vo}-")):
        body = read_mail(mails, mail).get_body(("plain",))
        if body is not None and (found := _LINK.search(body.get_content())):
            link = found[0]
            break
    if link is None:
        return None
    page = requests.get(link, timeout=10)
    token = re.search(r'name="token" value="([^"]*)"', page.text)
    form = {"vo": vo, "opinion": opinion, "text": text, "author": f"{vo} support", "token": token[1] if token else ""}
    return requests.post(link.partition("?")[0], data=form, timeout=10).status_code


class Demo:
    """One run of the demo on an installation that is up."""

    def __init__(self, installation: Installation, tell: Callable[[str], None]) -> None:
        """`tell`: one line of progress."""
        self.installation = installation
        self.tell = tell
        self.services = installation.services()
        self.mails = Path(installation.grid["mails"])
        self.should_fail = {
            site["name"]: site["faults"][0]
            for site in GridControl(installation.grid_folder).status()["sites"]
            if site["faults"]
        }
        self._answered: set[str] = set()
        self._certified = False

    def run(self, patch: Patch, on_fact: Callable[[Fact], None]) -> Summary:
        """Start the rollout, play the people until it has ended, and look at what came of it."""
        began = time.monotonic()
        client = self.installation.client("release-manager")
        name = self.services.facts.next_name("bc-client", patch.number)
        run = client.trigger(DAG, {"patch": patch.number})
        self.tell(f"The Release Manager starts {DAG} for patch {patch.number} by REST: run {run}")
        record, shown, state = Rollout(name), 0, ""
        while state not in _ENDED:
            if time.monotonic() - began > _LONGEST_S:
                failed = [t for t in client.tasks(DAG, run) if t.state not in ("success", "skipped")]
                raise ServiceError("demo", f"is not done after {_LONGEST_S:.0f} s: {failed}.", "Look at Airflow's logs.")
            time.sleep(0.3)
            state = client.run_state(DAG, run)
            try:
                record = self.services.facts.rollout(name)
            except NotYetAllowedError:
                continue  # Airflow has not opened it yet
            for fact in record.facts[shown:]:
                on_fact(fact)
            shown = len(record.facts)
            self._play_the_people(record, patch)
        summary = self.look(record, state, patch)
        if state != "success":
            bad = [f"{t.task} {t.state}" for t in client.tasks(DAG, run) if t.state in ("failed", "upstream_failed")]
            summary.problems.append(f"The run ended {state!r}: {', '.join(bad)}.")
        return summary

    def _play_the_people(self, record: Rollout, patch: Patch) -> None:
        for vo in ANSWERS.keys() - self._answered:
            if any(f.kind is FactKind.VO_INVITED and f.subject == vo for f in record.facts):
                self._answer(vo)
        if self._answered == ANSWERS.keys() and not self._certified:
            self._certified = True
            self.tell(f"The certification ends: patch {patch.number} is Certified in the tracker")
            self.services.tracker.set_state(patch.number, PatchState.CERTIFIED, "Certification is complete.")

    def _answer(self, vo: str) -> None:
        opinion, text = ANSWERS[vo]
        status = answer_invitation(self.mails, vo, opinion, text)
        if status is not None:
            self._answered.add(vo)
            self.tell(f"{vo} answers {opinion!r} over the link in its mail: HTTP {status}")

    # --- afterwards ---

    def look(self, record: Rollout, state: str, patch: Patch) -> Summary:
        """Compare what the facts say with the world, and with what should have happened."""
        summary = Summary(record, state, jdl=jdl_requirement(record.tag))
        self._look_at_sites(record, summary)
        self._look_at_mails(record, patch, summary)
        self._look_at_publications(record, patch, summary)
        return summary

    def _look_at_sites(self, record: Rollout, summary: Summary) -> None:
        sites = self.services.config.sites
        there = {s["name"]: s for s in GridControl(self.installation.grid_folder).status()["sites"]}
        seen = self.services.information_system.tags_of([s.subcluster for s in sites.values()])
        built = record.the(FactKind.TARBALL_BUILT)
        tarball = str(built.payload["name"]) if built else ""
        for progress in record.all_progress():
            site = sites[progress.site]
            holds = tarball if tarball in there[site.name]["previews"] else ""
            tag = str(record.tag) if str(record.tag) in seen.get(site.subcluster, frozenset()) else ""
            tested = [f for f in record.facts if f.subject == site.name and f.kind in (FactKind.PROBES_PASSED, FactKind.PROBES_FAILED)]
            results = tested[-1].payload["results"] if tested else []
            probes = f"{sum(r['state'] in ('OK', 'WARNING') for r in results)}/{len(results)}" if results else ""
            row = {"site": site.name, "state": progress.state.value, "holds": holds, "probes": probes, "tag": tag, "reason": progress.reason}
            summary.sites.append(row)
            if progress.state is SiteState.AVAILABLE and not (holds and tag):
                summary.problems.append(f"{site.name} is on record as available, but holds {holds!r} and shows {tag!r}.")
            if site.name in self.should_fail and progress.state not in (SiteState.FAILED, SiteState.LEFT_OUT):
                summary.problems.append(f"{site.name} ({self.should_fail[site.name]}) should have failed; it is {progress.state}.")
            if progress.state in (SiteState.FAILED, SiteState.LEFT_OUT) and not progress.reason:
                summary.problems.append(f"{site.name} is {progress.state} without a reason.")
            well = (SiteState.AVAILABLE, SiteState.LEFT_OUT)
            if site.name not in self.should_fail and progress.state not in well:
                summary.problems.append(f"{site.name} should have the preview; it is {progress.state}: {progress.reason}")
        if not any(row["state"] == SiteState.AVAILABLE for row in summary.sites):
            summary.problems.append("No site has the preview.")

    def _look_at_mails(self, record: Rollout, patch: Patch, summary: Summary) -> None:
        kept = kept_mails(self.mails)
        summary.mails = [(", ".join(m.recipients), m.subject) for m in kept]
        got = {r for m in kept for r in m.recipients}
        people = self.services.config.people
        told = {vo.contact for vo in people.vos} | {roc.contact for roc in people.rocs} | {b.originator for b in patch.bugs}
        failed = [self.services.config.site(row["site"]).contact for row in summary.sites if row["state"] == SiteState.FAILED]
        for address in sorted((told | set(failed)) - got):
            summary.problems.append(f"{address} got no mail.")
        ids = [read_mail(self.mails, m)["Message-ID"] for m in kept]
        if len(set(ids)) != len(ids):
            summary.problems.append("A mail was sent twice.")
        if outcome(record) is not Outcome.SOME:
            summary.problems.append(f"Two of the VOs have answered, but the outcome is {outcome(record).value!r}.")

    def _look_at_publications(self, record: Rollout, patch: Patch, summary: Summary) -> None:
        # the sandbox keeps these on this machine's disk
        www = Path(self.services.publication_folder.path)
        production = Path(self.services.production_repository.path)
        notes = www / "release-notes" / f"{record.name}.txt"
        summary.places = {
            "release bulletin": www / "bulletin.html",
            "release notes": notes,
            "production repository": production,
            "mails": self.mails,
            "sites": self.installation.grid_folder / "sites",
            "Airflow's logs": self.installation.folder / "airflow" / "logs",
        }
        for what, path in summary.places.items():
            if not path.exists():
                summary.problems.append(f"There is no {what} at {path}.")
        if notes.exists():
            summary.release_notes = notes.read_text()
            for vo, (_, text) in ANSWERS.items():
                if text.split(".")[0] not in " ".join(summary.release_notes.split()):
                    summary.problems.append(f"The release notes do not hold what {vo} said.")
        state = self.services.tracker.patch(patch.number).state
        if state is not PatchState.IN_PRODUCTION:
            summary.problems.append(f"The tracker says that the patch is {state.value!r}.")
        names = {f.name for f in production.rglob("*") if f.is_file()}
        missing = [p.name for p in patch.packages if not any(n.startswith(f"{p.name}_") or n.startswith(f"{p.name}-") for n in names)]
        if missing:
            summary.problems.append(f"Not in the production repository: {', '.join(missing)}.")
        if not any(n.endswith(".tar.gz") for n in names):
            summary.problems.append("The client tarball is not in the production repository.")
