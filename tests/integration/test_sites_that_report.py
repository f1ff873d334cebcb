"""A site that has closed its SSH fetches, and says what it has: over real HTTP, to the application that others use."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from tests.integration.test_rollouts_are_signed import FORMS, signing
from tests.integration.test_sites_that_fetch import NEXT, Fetched
from tests.support.desks import front
from tests.support.examples import PATCH
from tests.support.front import HOST_KEY, MemoryServices
from tests.support.http_folder import HttpFolder, http_folder  # noqa: F401
from tests.support.local_shell import make_sh
from tests.support.previews import SMALL
from tests.support.web_server import served
from tests.unit.web.test_late_answers import airflow_user

from pps.activities.clients import probing, publication, withdrawal
from pps.activities.clients.distribution import distribute
from pps.activities.clients.nightly import Night, plan_the_night
from pps.activities.clients.opening import batches_of
from pps.activities.clients.probing import PROBES
from pps.activities.people.tokens import site_token
from pps.activities.ports.sites import SiteLimits, SshTarget
from pps.activities.sites.batch import Door
from pps.activities.trust import statements
from pps.activities.trust.kit import Centre, Policy, kit_files
from pps.cli.doctor_kits import kit_findings
from pps.cli.front import Front
from pps.domain.base.errors import ConfigurationError
from pps.domain.clients.batches import CANARY, BatchLimits
from pps.domain.clients.retries import retry_of
from pps.domain.packages.patch import Patch
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.domain.record.site_states import STATE_AFTER, SiteState
from pps.domain.record.statements import RECORD
from pps.domain.sites.places import Places
from pps.domain.sites.site import Platform, Reached
from pps.domain.trust.statement import Action
from pps.sandbox.kit import machine as kit_machine
from pps.sandbox.kit.site import WEEK, now
from pps.web.app import create_app
from pps.workflow.desk import FrontDesk

pytestmark = pytest.mark.needs("openssh", "openssl")
SECRET = b"s" * 32
LIMITS = BatchLimits(2, 20, 1.0, 0.3, 3)
_SITE = "SITE-K"
_PROBES = f"""#!/bin/sh
echo PPS-PROBES 1
for probe in {" ".join(PROBES)}; do
  state=OK
  if [ "$probe" = {PROBES[0]} ] && [ -e "$1/bin/breaks" ]; then state=CRITICAL; fi
  echo "PPS-PROBE $probe $state - looked at it|"
done
echo PPS-PROBES-END {len(PROBES)}
"""


class ClosedShell:
    """Nobody connects to this site; whoever tries has failed the test."""

    async def run(self, target: object, *_: object, **__: object) -> object:
        raise AssertionError(f"somebody connects to {target}")

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"somebody wants to {name}")


class Reporting(Fetched):
    """A centre whose application is served, and a site that reports to it and has no SSH at all."""

    def __init__(self, folder: Path, served: HttpFolder, path: str) -> None:
        super().__init__(folder, served, path)
        self.changed(reached="pull")
        self.later = timedelta()
        self.services.given.update(
            clock=self.now,
            feedback_secret=SECRET,
            information_system=self,
            shell=ClosedShell(),
            matchmaker=None,
        )
        self.services.__dict__.update(self.services.given)

    def patch(self, number: int, version: str) -> Patch:
        return replace(PATCH, number=number, metapackage="client", version=version)

    def now(self) -> datetime:
        return now() + self.later

    def changed(self, **keys: object) -> None:
        """sites.yaml, of this site; without a way in."""
        file = self.services.config.folder / "sites.yaml"
        sites = yaml.safe_load(file.read_text())
        (mine,) = [s for s in sites["sites"] if s["name"] == _SITE]
        mine.pop("ssh", None)
        mine |= keys
        file.write_text(yaml.safe_dump(sites))
        services = MemoryServices(type(self.services.config)(file.parent), lambda _: None, self.services.given)
        self.services = services

    def tags_of(self, subclusters: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """The information system, which shows what the list of the site has."""
        return {name: frozenset(self.kit.tags.split()) for name in subclusters}

    def reports_to(self, address: str, token: str = "") -> None:
        fetch = self.kit.folder / "kit/etc/fetch"
        fetch.write_text(f"{fetch.read_text()}report {address}\n")
        (self.kit.folder / "kit/bin/pps-probes").write_text(_PROBES)
        (self.kit.run / "token").write_text(token or site_token(SECRET, _SITE, 1))

    def fetch(self, *words: str) -> tuple[int, list[str]]:
        """An hour passes: the centre lays out, and cron starts pps-fetch."""
        self.lay_out()
        return self.kit.fetch(*words)

    def kinds(self, d: FrontDesk) -> list[FactKind]:
        """What is on record of the site's part in this rollout."""
        return [f.kind for f in self.store.rollout(d.name).facts if f.subject == _SITE and f.kind in STATE_AFTER]

    def state(self, d: FrontDesk) -> SiteState:
        return self.store.rollout(d.name).progress(_SITE).state

    def posted(self, address: str, text: str, token: str = "") -> requests.Response:
        return requests.post(
            address,
            text.encode(),
            headers={
                "Authorization": f"Bearer {token or site_token(SECRET, _SITE, 1)}",
                "Content-Type": "text/plain",
            },
            timeout=20,
        )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def centre(tmp_path: Path, http_folder: HttpFolder) -> Reporting:
    return Reporting(tmp_path / "centre", http_folder, make_sh(tmp_path / "tools", "dash"))


@pytest.fixture
def address(centre: Reporting) -> Iterator[str]:
    """Where the site reports to."""
    with served({"/pps": create_app(lambda: centre.services, airflow_user, centre.now)}) as url:
        place = f"{url}/pps/api/v1/sites/{_SITE}/receipts"
        centre.reports_to(place)
        yield place


INSTALLED, PASSED, TAGGED = FactKind.PREVIEW_INSTALLED, FactKind.PROBES_PASSED, FactKind.TAG_ADDED


def test_what_a_site_has_fetched_is_on_record_as_if_it_had_been_brought(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    code, said = centre.fetch()
    assert (code, said[-1]) == (0, f"reported to {address}"), said
    assert centre.kinds(d) == [FactKind.SITE_PUT_OFF, INSTALLED, PASSED, TAGGED]
    record = centre.store.rollout(d.name)
    installed = record.installation(_SITE)
    assert installed is not None
    assert (installed.payload["how"], installed.payload["tarball"]) == ("fetched", centre.previews[d.name].name)
    assert len(installed.payload["production_before"]) > 1, "what it was when the probes compared with it"
    assert installed.actor == f"site {_SITE}"
    # the same twice is once, also from a site that has been asleep; and what announces it is seen
    before = centre.kinds(d)
    assert centre.fetch() == (0, [f"{centre.kit.what}: {centre.previews[d.name].name} is here and announced",
                                  f"reported to {address}"])  # fmt: skip
    assert centre.kinds(d) == [*before, FactKind.TAG_SEEN]
    assert centre.state(d) is SiteState.AVAILABLE
    assert centre.kit.fetch("--quiet") == (0, [])

    # another one follows, and is withdrawn
    two = centre.signed(4712, "1.1", NEXT)
    centre.fetch()
    assert centre.kinds(two)[-3:] == [INSTALLED, PASSED, TAGGED]
    withdrawal.ask_for_withdrawal(front(centre.services, two.name), "It breaks jobs.")
    leaving = front(centre.services, two.name)
    signing.statements.offer_withdrawal(leaving, holds_for=WEEK)
    centre.sign(leaving, FORMS[signing.WITHDRAWAL])
    centre.fetch()
    record = centre.store.rollout(two.name)
    assert centre.kinds(two)[-2:] == [FactKind.TAG_REMOVED, FactKind.PREVIEW_REMOVED]
    assert record.progress(_SITE).reason == "It breaks jobs."
    assert withdrawal.sites_with_preview(record) == ()


def test_nobody_ever_connects_to_a_site_that_fetches(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    site = centre.services.config.site(_SITE)
    shell: Any = ClosedShell()
    there = {_SITE: SshTarget(_SITE, "127.0.0.1", 22, "pps", HOST_KEY)}  # as it was before
    door = Door(there, shell, SiteLimits(1, 1, 1), Places(5), "fleet-1", "test")
    tarball = centre.previews[d.name]

    brought = distribute(d, tarball, [site], door, artefacts=centre.artefacts, cache=centre.folder / "c")
    (outcome,) = asyncio.run(brought)

    assert (outcome.word, centre.state(d)) == ("put off", SiteState.PLANNED)
    assert d.rollout.progress(_SITE).reason == f"{_SITE} fetches by itself, and says so when it has it."
    centre.fetch()
    d = front(centre.services, d.name)
    d.record(d.fact(FactKind.FEEDBACK_DATE_AGREED, "", "", {"due": (now() + WEEK).isoformat()}))
    night = Night(
        d, {_SITE: site}, lambda _: there, shell, centre.artefacts, centre, SiteLimits(1, 1, 1), Places(5)
    )  # fmt: skip
    assert asyncio.run(plan_the_night(night)) == []
    (reason,) = retry_of(d.rollout, {_SITE: site}, None, [_SITE]).reasons_against
    assert "there is nothing to try again" in reason
    before = centre.kinds(d)
    assert asyncio.run(probing.probe(d, tarball, [site], door)) == ()
    assert asyncio.run(publication.publish_tags(d, d.rollout.tag, [site], door)) == ()
    withdrawal.ask_for_withdrawal(d, "It breaks jobs.")
    assert asyncio.run(withdrawal.withdraw_tags(d, [site], door, reason="It breaks jobs.")) == ()
    assert centre.kinds(d) == before, "it is still there, and that is what is said"
    assert withdrawal.sites_with_preview(d.rollout) == (_SITE,)
    assert batches_of("r", RolloutPath.BC_CLIENT, [site], LIMITS)[CANARY] == [], "nobody waits for it"
    with pytest.raises(ConfigurationError, match="nobody of us connects to it"):
        centre.services.targets([site])


def test_what_its_probes_refuse_is_known_with_their_words_and_what_is_mended_too(
    centre: Reporting, address: str
) -> None:
    d = centre.signed(4711, "1.0", {**SMALL, "bin/breaks": b"#!/bin/sh\n"})
    assert centre.fetch()[0] == 1
    assert centre.kinds(d)[-2:] == [INSTALLED, FactKind.PROBES_FAILED]
    assert f"Probe {PROBES[0]} is CRITICAL: looked at it" in centre.store.rollout(d.name).progress(_SITE).reason
    before = centre.kinds(d)
    centre.fetch()
    assert centre.kinds(d) == before
    (centre.kit.folder / "kit/bin/pps-probes").write_text(_PROBES.replace("bin/breaks", "bin/none"))
    assert centre.fetch("--thoroughly")[0] == 0
    assert centre.kinds(d)[-2:] == [PASSED, TAGGED]


def test_what_a_site_has_lost_or_taken_away_is_known_within_the_hour(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    centre.fetch()
    listed = next((centre.kit.folder / "tags").rglob("ops.list"))
    listed.write_text("")
    centre.fetch()
    assert centre.kinds(d)[-1] is FactKind.TAG_REMOVED
    assert "taken away at the site" in centre.store.rollout(d.name).progress(_SITE).reason
    shutil.rmtree(centre.kit.root / centre.previews[d.name].name)
    shutil.rmtree(centre.served.folder / "1/payloads")  # and it cannot be had again
    assert centre.kit.fetch()[0] == 1
    assert centre.kinds(d)[-1] is FactKind.SITE_FAILED
    assert "Its kit says: " in centre.store.rollout(d.name).progress(_SITE).reason
    assert FactKind.PREVIEW_LOST in centre.kinds(d)
    assert centre.fetch()[0] == 0
    assert centre.kinds(d)[-3:] == [INSTALLED, PASSED, TAGGED]


def test_a_site_that_says_nothing_for_a_day_has_failed_and_one_that_speaks_again_has_not(
    centre: Reporting, address: str
) -> None:
    d = centre.signed(4711, "1.0")
    centre.lay_out()
    assert "can do so since" in centre.store.rollout(d.name).progress(_SITE).reason
    before = centre.kinds(d)
    centre.later = timedelta(hours=23)
    centre.lay_out()
    assert (centre.kinds(d), centre.state(d)) == (before, SiteState.PLANNED)
    centre.later = timedelta(hours=25)
    centre.lay_out()
    centre.lay_out()
    assert centre.kinds(d) == [*before, FactKind.SITE_FAILED]
    assert centre.store.rollout(d.name).progress(_SITE).reason.endswith("It has never reported.")
    (mail,) = [mail for mail, _, _ in centre.store.outbox(d.name) if "could not be made available" in mail.subject]
    assert (mail.to, "It has never reported." in " ".join(mail.text.split())) == ("admin@site-k.example.org", True)
    assert centre.fetch()[0] == 0
    assert centre.state(d) is SiteState.TAGGED


def test_a_pause_is_not_the_sites_fault(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    centre.lay_out()
    d = front(centre.services, d.name)
    d.record(d.fact(FactKind.ROLLOUT_PAUSED, "", "1", {"reason": "We look."}))
    centre.later = timedelta(days=3)
    centre.lay_out()
    d = front(centre.services, d.name)
    d.record(d.fact(FactKind.ROLLOUT_RESUMED, "", "1", {}))
    centre.lay_out()
    assert centre.state(d) is SiteState.PLANNED


def test_only_the_site_itself_can_say_so(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    centre.fetch()
    facts, (kept,) = centre.kinds(d), centre.store.reports().values()
    others = {
        "none": "x",
        "another site's": site_token(SECRET, "PLAIN", 1),
        "the next one": site_token(SECRET, _SITE, 2),
        "another installation's": site_token(b"t" * 32, _SITE, 1),
    }
    for token in others.values():
        refused = centre.posted(address, kept.text.replace("PPS-HAS", "PPS-NOT"), token)
        assert (refused.status_code, "pps sites token" in refused.json()["detail"]) == (401, True)
    unknown = centre.posted(address.replace(_SITE, "NOBODY"), kept.text, site_token(SECRET, "NOBODY", 1))
    assert unknown.status_code == 401
    assert requests.post(address, kept.text, timeout=20).status_code == 401
    centre.changed(reached="pull", token=2)
    assert centre.posted(address, kept.text).status_code == 401, "a lost token is worthless from then on"
    assert centre.posted(address, kept.text, site_token(SECRET, _SITE, 2)).status_code == 200
    assert centre.kinds(d) == facts
    code, said = centre.kit.fetch()
    assert (code, said[-1].startswith(f"not reported to {address} (401): This is not the token")) == (1, True), said


HOSTILE = {
    "nothing": lambda text: "",
    "its second half": lambda text: text[len(text) // 2 :],
    "its first half": lambda text: text[: len(text) // 2],
    "another text": lambda text: "PPS-REPORT 1\nhello\nPPS-REPORT-END\n",
    "control characters": lambda text: text.replace("PPS-HAS", "PPS-HAS\x1b[2J"),
    "a NUL": lambda text: text.replace("PPS-HAS", "PPS\0HAS"),
    "letters of other scripts": lambda text: text.replace("client", "cl\u0456ent"),
    "a time that there is not": lambda text: re.sub("PPS-STATE-END [0-9]*", "PPS-STATE-END 999999999999", text),
    "more than anybody says": lambda text: text + "PPS-WRONG x@y z\n" * 8000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_report_that_is_none_is_refused_and_changes_nothing(centre: Reporting, address: str, what: str) -> None:
    d = centre.signed(4711, "1.0")
    centre.fetch()
    facts, (kept,) = centre.kinds(d), centre.store.reports().values()
    refused = centre.posted(address, HOSTILE[what](kept.text))
    assert refused.status_code in (413, 422), refused.text
    assert refused.json()["detail"].isprintable()
    assert (centre.kinds(d), list(centre.store.reports().values())) == (facts, [kept])


def test_what_was_not_signed_here_is_not_taken_for_ours(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    centre.fetch()
    (kept,) = centre.store.reports().values()
    before = centre.kinds(d)
    digest = centre.previews[d.name].digest
    lied = centre.posted(address, kept.text.replace(digest, "0" * 64))
    assert lied.status_code == 200, "it is on record already that it has it; that it is another one changes no tag"
    assert centre.kinds(d) == before
    gone = "".join(line for line in kept.text.splitlines(True) if not line.startswith(("PPS-HAS", "PPS-TAG")))
    centre.posted(address, gone)
    before = centre.kinds(d)
    assert before[-1] is FactKind.PREVIEW_LOST
    assert centre.posted(address, kept.text.replace(digest, "0" * 64)).status_code == 200
    assert centre.kinds(d) == before, "it has something of that name, and not what was signed"
    more = gone.replace("PPS-SINCE", f"PPS-HAS client-6.6 {'0' * 64}\nPPS-SINCE", 1)
    assert centre.posted(address, more).status_code == 200
    assert centre.kinds(d) == before


def test_of_a_site_that_lets_us_in_a_report_is_kept_and_what_we_find_there_is_on_record(
    centre: Reporting, address: str
) -> None:
    d = centre.signed(4711, "1.0")
    centre.changed(reached="ssh", ssh={"host": "ce.example.org", "user": "pps", "host_key": HOST_KEY})
    code, said = centre.fetch()
    assert (code, said[-1]) == (0, f"reported to {address}")
    assert centre.kinds(d) == []
    assert centre.store.reports()[_SITE].text.startswith("PPS-REPORT 1")


def test_what_is_offered_for_another_platform_is_not_taken_for_this_sites(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    tarball, other = centre.previews[d.name], Platform("debian12", "arm64")
    for _ in range(2):  # sequences of its own, and higher ones: there it was withdrawn, and offered again
        statements.offer_installation(
            d, tarball, centre.kit.manifest(tarball), {other}, packed=1 << 20, holds_for=WEEK
        )  # fmt: skip
        last = statements.all_offered(centre.store, f"client@{other}")[-1].statement
        gone = replace(last, sequence=last.sequence + 1, action=Action.REMOVE, previous=last.digest)
        payload = {"document": gone.text, "rollout": d.name, "preview": gone.preview, "tag": gone.tag}
        centre.store.record(
            Fact(RECORD, FactKind.STATEMENT_OFFERED, gone.what, str(gone.sequence), now(), "test", payload)
        )
    assert centre.fetch()[0] == 0
    assert centre.kinds(d)[-3:] == [INSTALLED, PASSED, TAGGED]
    shutil.rmtree(centre.kit.root / tarball.name)
    shutil.rmtree(centre.served.folder / "1/payloads")
    centre.kit.fetch()
    assert FactKind.PREVIEW_LOST in centre.kinds(d), "it was not withdrawn here"


def test_a_kit_that_is_made_for_such_a_site_lets_nobody_in(centre: Reporting) -> None:
    root = Centre(centre.people.root(), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "ops")
    closed = centre.services.config.site(_SITE)
    made = {site.reached: kit_files(site, [Policy("client")], root)["etc/authorized_keys"][1] for site in (
        closed, replace(centre.kit.site, kit=closed.kit))}  # fmt: skip
    assert (made[Reached.PULL], made[Reached.SSH].startswith(b"restrict,command=")) == (b"", True)


def test_of_what_a_kit_has_no_policy_for_its_silence_says_nothing(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    centre.fetch()
    (kept,) = centre.store.reports().values()
    before = centre.kinds(d)
    other = kept.text.replace(f"PPS-PRODUCT {centre.kit.what}", "PPS-PRODUCT other@debian12-amd64")
    other = "".join(line for line in other.splitlines(True) if not line.startswith(("PPS-HAS", "PPS-TAG")))
    assert centre.posted(address, other).status_code == 200
    assert centre.kinds(d) == before
    gone = "".join(line for line in kept.text.splitlines(True) if not line.startswith(("PPS-HAS", "PPS-TAG")))
    assert centre.posted(address, gone).json()["new"] == 2, "of what it has one for it does"
    assert centre.kinds(d) == [*before, FactKind.TAG_REMOVED, FactKind.PREVIEW_LOST]


def test_what_does_not_arrive_is_in_the_next_report(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    fetch = centre.kit.folder / "kit/etc/fetch"
    right = fetch.read_text()
    fetch.write_text(right.replace(address, "http://127.0.0.1:9/none"))
    code, said = centre.fetch()
    assert (code, "not reported to http://127.0.0.1:9/none" in said[-1]) == (1, True)
    assert centre.kinds(d) == [FactKind.SITE_PUT_OFF]
    fetch.write_text(right)
    assert centre.kit.fetch()[0] == 0
    assert centre.kinds(d)[1:] == [INSTALLED, PASSED, TAGGED], "with what its probes have said"


@pytest.mark.parametrize(
    ("tools", "curl", "reports"), [("dash", True, True), ("dash", False, True), ("busybox", False, False)],
    ids=["curl", "GNU wget", "busybox' wget"],
)  # fmt: skip
def test_the_token_stands_on_no_command_line(
    tmp_path: Path, http_folder: HttpFolder, tools: str, curl: bool, reports: bool
) -> None:
    folder = tmp_path / "tools"
    centre = Reporting(tmp_path / "centre", http_folder, make_sh(folder, tools))
    for name in ("curl", "wget"):
        real = folder / f"real-{name}"
        (folder / name).rename(real)
        script = f'#!/bin/sh\necho "$@" >>{tmp_path}/started\nexec -a {name} {real} "$@"\n'
        if curl or name == "wget":
            (folder / name).write_text(script.replace("#!/bin/sh", f"#!{shutil.which('bash')}"))
            (folder / name).chmod(0o755)
    d = centre.signed(4711, "1.0")
    with served({"/pps": create_app(lambda: centre.services, airflow_user, centre.now)}) as url:
        centre.reports_to(f"{url}/pps/api/v1/sites/{_SITE}/receipts")
        code, said = centre.fetch()
        assert (code == 0) is reports, said
        assert said[-1].startswith("reported to " if reports else "nothing is reported: that needs curl or GNU wget")
        assert (TAGGED in centre.kinds(d)) is reports
        refused = requests.post(f"{url}/pps/api/v1/sites/{_SITE}/receipts", "x", timeout=20)
        assert refused.status_code == 401
        if reports:
            (centre.kit.run / "token").write_text("wrong\n")
            (*_, last) = centre.kit.fetch()[1]
            assert "401" in last or "Authentication Failed" in last, "as each of them says it"
    assert site_token(SECRET, _SITE, 1) not in (tmp_path / "started").read_text()


@pytest.mark.needs("sudo", "root", "linux")
def test_as_roots_install_it_the_account_that_may_only_receive_reports(centre: Reporting, address: str) -> None:
    d = centre.signed(4711, "1.0")
    centre.lay_out()
    places = {"fetch_from": centre.served.url, "report_to": address}
    with kit_machine.running(centre.folder / "machine", centre.people, centre.artefacts, **places) as machine:
        as_pps = ("setpriv", "--reuid=pps", "--regid=pps", "--clear-groups")
        machine.inside("sh", "/srv/pps-kit/bin/pps-kit-install", check=False)
        machine.inside("chown", "ppskeep", "/srv/tags/ce.example.org/ops")
        assert "there is no /srv/fetches/token" in machine.inside("sh", "/opt/pps-kit/bin/pps-kit-check", check=False)
        assert (
            machine.inside(*as_pps, "/opt/pps-kit/bin/pps-fetch", check=False)
            .splitlines()[-1]
            .startswith("nothing is reported: there is no /srv/fetches/token")
        )
        words = f"{site_token(SECRET, _SITE, 1)}\n"
        machine.inside(*as_pps, "sh", "-c", "umask 077; cat >/srv/fetches/token", stdin=words)
        checked = machine.inside("sh", "/opt/pps-kit/bin/pps-kit-check", check=False)
        assert "OK     the token with which it reports is pps's alone" in checked
        said = machine.inside(*as_pps, "/opt/pps-kit/bin/pps-fetch", check=False)
        assert said.splitlines()[-1] == f"reported to {address}"
        assert INSTALLED in centre.kinds(d)
        # installed again, it keeps its token; nobody else may read it
        machine.inside("sh", "/srv/pps-kit/bin/pps-kit-install")
        assert machine.inside(*as_pps, "cat", "/srv/fetches/token") == words
        others = ("setpriv", "--reuid=ppsprobe", "--regid=ppsprobe", "--clear-groups")
        assert machine.inside(*others, "cat", "/srv/fetches/token", check=False) == ""


def test_the_doctor_judges_a_site_by_its_last_report(centre: Reporting, address: str) -> None:
    def told() -> list[str]:
        here = Front(centre.services, now=centre.now, pause=lambda _: None)
        closed = [centre.services.config.site(_SITE)]
        found = kit_findings(here, [], SiteLimits(1, 1, 1), 5, closed)
        return [f"{f.health} {f.text}" for f in found if f.subject == _SITE]

    assert told() == ["FAIL has never reported."]
    centre.signed(4711, "1.0")
    centre.fetch()
    (found,) = told()
    assert found.startswith("OK verifies itself what it installs, keys number 1")
    (kept,) = centre.store.reports().values()
    centre.store.keep_report(_SITE, kept.text.replace("PPS-KIT 1 ssh", "PPS-KIT 1 openssl"), kept.at)
    assert told() == ["FAIL its kit checks signatures with openssl; the registry says ssh."]
    centre.store.keep_report(_SITE, kept.text, kept.at)
    centre.renew_keys()
    centre.services.__dict__.update(centre.services.given)
    assert any("its kit believes keys number 1; number 2 are in force" in f for f in told())
    centre.later = timedelta(hours=30)
    assert told()[0].startswith("FAIL reported last on ")


def test_a_site_reached_by_pull_has_a_kit_and_is_no_canary(centre: Reporting) -> None:
    site = centre.services.config.site(_SITE)
    with pytest.raises(ConfigurationError, match="has no kit"):
        replace(site, kit=None)
    with pytest.raises(ConfigurationError, match="cannot be a canary"):
        replace(site, canary=True)
    assert site.ssh is None
