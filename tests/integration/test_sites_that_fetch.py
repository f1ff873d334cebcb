"""A site with a kit fetches by itself, from a real web server that nobody trusts; what is laid out for it, and when."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.test_kit import all_of
from tests.integration.test_rollouts_are_signed import FORMS, Centre, signing
from tests.support.desks import front, front_office
from tests.support.http_folder import HttpFolder, http_folder, serving  # noqa: F401
from tests.support.local_shell import make_sh
from tests.support.previews import SMALL, Tree
from upath import UPath

from pps.activities.ports.sites import SiteLimits
from pps.activities.sites.diagnosis import Health
from pps.adapters.packages.folders import PublishedFolder
from pps.cli.doctor_kits import kit_findings
from pps.cli.front import Front
from pps.domain.packages.advice import Advice
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name
from pps.domain.sites.site import Scheme
from pps.domain.trust.signed import envelope, opened
from pps.domain.trust.statement import Statement
from pps.sandbox.kit import machine as kit_machine
from pps.sandbox.kit.site import WEEK, KitSite, now
from pps.workflow.clients.pull import lay_out
from pps.workflow.desk import FrontDesk

pytestmark = pytest.mark.needs("openssh", "openssl")
#: probes that any preview passes, but for what a test has `fail` do
_PROBES = """#!/bin/sh
echo PPS-PROBES 1
echo "$5" >>"${0%/bin/*}/before"
if [ -e "$1/bin/breaks" ]; then echo "PPS-PROBE tree CRITICAL - it breaks|"; else echo "PPS-PROBE tree OK - fine|"; fi
echo PPS-PROBES-END 1
"""
NEXT: Tree = {**SMALL, "bin/tool": b"#!/bin/sh\necho 3\n"}


class FetchingSite(KitSite):
    """A site of which cron's part is played."""

    @property
    def tags(self) -> str:
        found = self.folder / "tags/ce.example.org/ops/ops.list"
        return found.read_text() if found.exists() else ""

    def fetching(self, *words: str) -> subprocess.Popen[str]:
        """What cron does, begun."""
        return subprocess.Popen(
            ["sh", str(self.folder / "kit/bin/pps-fetch"), *words], env={"PATH": self.path},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def fetch(self, *words: str) -> tuple[int, list[str]]:
        """What cron does: exit code, and the lines that it says."""
        begun = self.fetching(*words)
        said = begun.communicate(timeout=120)[0]
        return begun.returncode, said.splitlines()


class Fetched(Centre):
    """A centre whose folder is served, and a site that fetches from there."""

    def __init__(self, folder: Path, served: HttpFolder, path: str = os.environ["PATH"], keep_days: int = 30) -> None:
        super().__init__(folder, Scheme.SSH)
        self.served = served
        self.services.given["pull_folder"] = PublishedFolder(UPath(served.folder))
        self.services.__dict__.update(self.services.given)
        self.kit: FetchingSite = self.site("fetches", served.url, path, keep_days)

    def site(self, name: str, url: str = "", path: str = os.environ["PATH"], keep_days: int = 30) -> FetchingSite:
        """A site with a kit, its programs run by the shell of `path`."""
        kit = FetchingSite(self.folder / name, self.people, self.artefacts, path, fetch_from=url, keep_days=keep_days)
        kit.unpack()
        for program in (kit.folder / "kit/bin").iterdir():
            text = program.read_text().replace("#!/bin/sh", f"#!{shutil.which('sh', path=path)}", 1)
            program.write_text(_PROBES if program.name == "pps-probes" else text)
        return kit

    def signed(self, number: int, version: str, tree: Tree = SMALL) -> FrontDesk:
        """A rollout that has passed its gate, and two people have signed."""
        d = self.built(number, version, tree)
        self.sign(d)
        d.record(d.fact(FactKind.GATE_PASSED, "", "", {"why": []}))
        return d

    def built(self, number: int, version: str, tree: Tree = SMALL) -> FrontDesk:
        d = self.rollout(number, version, tree)
        tarball = self.previews[d.name]
        payload = {"name": tarball.name, "digest": tarball.digest, "files": dict(tarball.files)}
        d.record(d.fact(FactKind.TARBALL_BUILT, "", tarball.name, payload))
        return d

    def lay_out(self) -> tuple[str, ...] | None:
        return lay_out(front_office(self.services))

    def papers_of_push(self, d: FrontDesk) -> str:
        papers: str = super().papers().to_install(self.previews[d.name].name)
        return papers

    @property
    def laid_out(self) -> Path:
        return self.served.folder / "1/ssh" / self.kit.what

    def payload(self, d: FrontDesk, name: str = "full") -> str:
        return f"1/payloads/{self.previews[d.name].digest}/{name}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def fetched(tmp_path: Path, http_folder: HttpFolder) -> Fetched:
    return Fetched(tmp_path / "centre", http_folder)


@pytest.mark.parametrize("tools", ["dash", "busybox"])
def test_what_two_people_signed_is_fetched_announced_replaced_and_withdrawn(
    tools: str, tmp_path: Path, http_folder: HttpFolder
) -> None:
    path = make_sh(tmp_path / "tools", tools)
    if tools == "busybox":  # its own wget, and no curl
        (tmp_path / "tools/curl").unlink()
    centre = Fetched(tmp_path / "centre", http_folder, path)
    kit = centre.kit
    d = centre.signed(4711, "1.0")
    preview, tag = centre.previews[d.name].name, d.rollout.opened["tag"]
    assert centre.lay_out() == (kit.what,)

    assert kit.fetch() == (
        0,
        [
            f"{kit.what}: {preview} is installed, statement 1",
            f"{kit.what}: {preview} has passed its probes and is announced as {tag}",
        ],
    )
    assert kit.tags == f"{tag}\n"
    asked = len(http_folder.requests)
    before = all_of(kit.folder)
    assert centre.lay_out() == (kit.what,)
    assert kit.fetch() == (0, [f"{kit.what}: {preview} is here and announced"])
    assert kit.fetch("--quiet") == (0, [])
    assert (all_of(kit.folder), len(http_folder.requests)) == (before, asked + 2), "once is enough"

    two = centre.signed(4712, "1.1", NEXT)
    centre.lay_out()
    new, upon = centre.previews[two.name], centre.previews[d.name]
    assert kit.fetch()[1][0] == f"{kit.what}: {new.name} is installed, statement 2, upon {preview}"
    assert http_folder.requests[-2:] == [f"/{centre.payload(two, name)}" for name in ("list", f"from-{upon.digest}")]

    assert centre.services.facts.record(two.fact(FactKind.WITHDRAWAL_ASKED, "", "", {"reason": "It breaks jobs."}))
    assert centre.lay_out() == (), "nobody else gets it, signed or not"
    assert kit.fetch() == (0, [f"{kit.what}: nothing of it is in force"])
    withdrawal = front(centre.services, two.name)
    signing.statements.offer_withdrawal(withdrawal, holds_for=WEEK)
    centre.sign(withdrawal, FORMS[signing.WITHDRAWAL])
    assert centre.lay_out() == (kit.what,)
    assert kit.fetch() == (0, [f"{kit.what}: {new.name} was withdrawn, and is gone"])
    assert kit.tags == "", "both were announced by the same tag"
    assert (kit.root / preview).is_dir(), "the older one stays for a while"


def _previews(kit: KitSite) -> dict[str, str]:
    # locks, and where the site's profile.d is
    return {n: seen for n, seen in all_of(kit.root).items() if not (n.startswith(".pps") or n.endswith("/.pps-site"))}


def _relay(centre: Fetched, folder: Path) -> tuple[int, list[str]]:
    """What cron does at a region's machine."""
    done = subprocess.run(
        ["sh", str(centre.kit.folder / "kit/bin/pps-relay"), centre.served.url, str(folder), "ssh", centre.kit.what],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_pull_and_push_and_pull_from_a_relay_end_in_the_same_tree(fetched: Fetched, tmp_path: Path) -> None:
    pushed = fetched.site("pushed")
    with serving(tmp_path / "relay") as relay:
        behind = fetched.site("behind-a-relay", relay.url)
        for number, version, tree in ((4711, "1.0", SMALL), (4712, "1.1", NEXT)):
            d = fetched.signed(number, version, tree)
            fetched.lay_out()
            fetched.kit.fetch()
            came = fetched.papers_of_push(d).encode()
            sent = came + b"full\n" + pushed.payload(fetched.previews[d.name])
            said = pushed.ask("put", str(len(came)), "list", "60", stdin=sent)
            assert said[-1].startswith("PPS-INSTALLED"), said
            assert _relay(fetched, relay.folder) == (0, [])
            assert "is installed" in behind.fetch()[1][0]
            # whoever comes over SSH as well finds it there, and brings nothing
            said = fetched.kit.ask("put", str(len(came)), "full", "60", stdin=came)
            assert said[-1] == "PPS-ALREADY full", said
        asked = len(fetched.served.requests)
        assert _relay(fetched, relay.folder) == (0, [])
        assert len(fetched.served.requests) == asked + 3, "papers and a list; no payload twice"
    assert any("from-" in request for request in relay.requests), "also what builds upon another one"
    assert _previews(fetched.kit) == _previews(pushed) == _previews(behind)
    for site in (fetched.kit, behind):
        assert {p.name for p in site.state.glob("*@*/*")} == {p.name for p in pushed.state.glob("*@*/*")}
        assert site.tags


def test_a_relay_takes_no_more_than_was_announced_and_tells_sites_of_nothing_that_it_lacks(
    fetched: Fetched, tmp_path: Path
) -> None:
    fetched.signed(4711, "1.0")
    fetched.lay_out()
    relay = tmp_path / "relay"
    assert _relay(fetched, relay) == (0, [])
    papers = (relay / "1/ssh" / fetched.kit.what).read_bytes()
    d = fetched.signed(4712, "1.1", {"bin/tool": b"other"})
    fetched.lay_out()
    fetched.served.endless["/" + fetched.payload(d)] = b"x" * 65536

    code, said = _relay(fetched, relay)

    assert (code, "bytes came" in said[0], said[-1]) == (
        1, True, f"{fetched.kit.what}: what a site without anything needs did not come"
    )  # fmt: skip
    assert (relay / "1/ssh" / fetched.kit.what).read_bytes() == papers
    assert not (relay / fetched.payload(d)).exists()
    hostile = (fetched.served.folder / fetched.payload(d, "list")).with_name("list")
    sha = "0" * 64
    hostile.write_text(f"full 99999999999 {sha}\nfrom ../../../../etc 3 {sha}\nfull x {sha}\nfull 3 ;id\nfull 3\n")
    assert _relay(fetched, relay)[0] == 1
    assert {p.name for p in relay.iterdir()} == {"1", ".lock"}


def test_what_came_to_a_relay_broken_does_not_stay_there(fetched: Fetched, tmp_path: Path) -> None:
    d = fetched.signed(4711, "1.0")
    fetched.lay_out()
    place = fetched.served.folder / fetched.payload(d)
    good = place.read_bytes()
    place.write_bytes(good[:-2] + b"xx")  # of the same size
    code, said = _relay(fetched, tmp_path / "relay")
    assert (code, "other bytes came than the list says" in said[0]) == (1, True), said
    assert not (tmp_path / "relay" / fetched.payload(d)).exists()
    place.write_bytes(good)
    assert _relay(fetched, tmp_path / "relay") == (0, [])
    assert (tmp_path / "relay" / fetched.payload(d)).read_bytes() == good


def _site(kit: KitSite) -> dict[str, str]:
    # all but what pps-fetch remembers for itself
    return {n: seen for n, seen in all_of(kit.folder).items() if not n.startswith("run/")}


Attack = Callable[[Fetched, FrontDesk, str], None]


def _changed(place: str, change: Callable[[bytes], bytes]) -> Attack:
    def attack(centre: Fetched, d: FrontDesk, old: str) -> None:
        file = centre.laid_out if place == "papers" else centre.served.folder / centre.payload(d)
        file.write_bytes(change(file.read_bytes()))

    return attack


def _payload_of_another(centre: Fetched, d: FrontDesk, old: str) -> None:
    other = centre.site("other").payload(centre.artefacts.make({**SMALL, "bin/tool": b"evil"}, "6.6"))
    (centre.served.folder / centre.payload(d)).write_bytes(other)


def _cut(centre: Fetched, d: FrontDesk, old: str) -> None:
    centre.served.cut_after["/" + centre.payload(d)] = 300


def _endless(what: bytes) -> Attack:
    def attack(centre: Fetched, d: FrontDesk, old: str) -> None:
        centre.served.endless["/" + centre.payload(d)] = what

    return attack


def _endless_papers(centre: Fetched, d: FrontDesk, old: str) -> None:
    for name in (centre.kit.what, "current"):
        centre.served.endless[f"/1/ssh/{name}"] = b"PPS-DOCUMENT 9\n" * 1000


def _nothing_there(centre: Fetched, d: FrontDesk, old: str) -> None:
    shutil.rmtree(centre.served.folder / "1")


def _no_payload(centre: Fetched, d: FrontDesk, old: str) -> None:
    shutil.rmtree(centre.served.folder / "1/payloads")


def _old_index(centre: Fetched, d: FrontDesk, old: str) -> None:
    centre.laid_out.write_text(old)


def _led_elsewhere(centre: Fetched, d: FrontDesk, old: str) -> None:
    centre.served.redirects["/" + centre.payload(d)] = "file:///etc/passwd"


def _ended_list(centre: Fetched, d: FrontDesk, old: str) -> None:
    (statement,) = [s for s in opened(centre.laid_out.read_text()) if s.document.startswith("pps-statement")]
    read = Statement.parse(statement.document)
    # this site has not heard of anything newer
    for file in centre.kit.state.glob("current.*"):
        file.unlink()
    ended = centre.kit.current(read, issued=now() - 2 * WEEK, expires=now() - WEEK)
    centre.laid_out.write_text(envelope([ended, statement]))


def _one_signature(centre: Fetched, d: FrontDesk, old: str) -> None:
    current, statement = opened(centre.laid_out.read_text())
    centre.laid_out.write_text(envelope([current, replace(statement, signatures=statement.signatures[:1])]))


ATTACKS: dict[str, tuple[Attack, str]] = {
    "the payload of another preview": (_payload_of_another, "thrown away: damaged "),
    "two bytes of the payload": (_changed("payload", lambda data: data[:60] + b"xx" + data[62:]), "thrown away"),
    "a payload that breaks off": (_cut, "264 of"),
    "a payload without an end": (_endless(b"x" * 65536), "thrown away: "),
    "a payload that says it is larger": (_endless(b"PPS-PAYLOAD 2  99999999999       10\n"), "are announced, and"),
    "papers without an end": (_endless_papers, "longer than 65536 bytes"),
    "nothing at all": (_nothing_there, "404"),
    "papers without a payload": (_no_payload, "no payload came"),
    "an old index": (_old_index, "is behind, or somebody plays old things"),
    "a list that has ended": (_ended_list, "has had no news for too long"),
    "one signature less": (_one_signature, "refused: signatures"),
    "a hostile name": (
        _changed("papers", lambda data: data.replace(b"preview client", b"preview ../client")), "refused: signatures",
    ),
    "a command in a name": (_changed("papers", lambda data: data.replace(b"tag ", b"tag $(id)")), "refused: sign"),
    "bytes that are no text": (_changed("papers", lambda data: data + b"\0\x1b[2J"), "refused: signed"),
    "another address": (_led_elsewhere, "no payload came"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_whoever_serves_it_gets_nothing_in_and_what_is_there_stays(fetched: Fetched, attack: str) -> None:
    act, says = ATTACKS[attack]
    one = fetched.signed(4711, "1.0")
    fetched.lay_out()
    assert fetched.kit.fetch()[0] == 0
    old = fetched.laid_out.read_text()
    two = fetched.signed(4712, "1.1", {"bin/tool": b"#!/bin/sh\necho 4\n"})  # shares nothing: no delta
    fetched.lay_out()
    if attack == "an old index":
        assert fetched.kit.fetch()[0] == 0
        two = fetched.signed(4713, "1.2", NEXT)
    before = _site(fetched.kit)

    act(fetched, two, old)

    code, said = fetched.kit.fetch()
    assert code == 1
    assert says in "\n".join(said)
    assert all(line.isprintable() for line in said)
    assert _site(fetched.kit) == before
    assert (fetched.kit.root / fetched.previews[one.name].name / "bin/tool").is_file()


def test_a_delta_that_is_of_no_use_is_followed_by_all_of_it(fetched: Fetched) -> None:
    fetched.signed(4711, "1.0")
    fetched.lay_out()
    fetched.kit.fetch()
    d = fetched.signed(4712, "1.1", NEXT)
    fetched.lay_out()
    (delta,) = (fetched.served.folder / fetched.payload(d, "")).glob("from-*")
    delta.write_bytes(delta.read_bytes()[:-10])

    code, said = fetched.kit.fetch()

    assert (code, "of no use" in said[0]) == (0, True)
    assert said[1] == f"{fetched.kit.what}: {fetched.previews[d.name].name} is installed, statement 2"


def test_two_at_a_time_keep_out_of_each_others_way_and_what_was_killed_is_done_by_the_next(fetched: Fetched) -> None:
    d = fetched.signed(4711, "1.0")
    fetched.lay_out()
    half = threading.Event()
    place = "/" + fetched.payload(d)
    fetched.served.held[place] = half
    first = fetched.kit.fetching()
    try:
        while place not in fetched.served.requests:
            assert first.poll() is None
        code, said = fetched.kit.fetch()
        assert (code, said) == (1, ["another pps-fetch is at work here; this one has done nothing"])
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    finally:
        half.set()
        first.kill()
    assert not (fetched.kit.root / fetched.previews[d.name].name).exists()
    fetched.served.held.clear()

    # the lock of the receiver that was killed with it goes in a moment
    while "is at work" in (said := fetched.kit.fetch()[1])[-1]:
        pass
    assert "is announced as" in said[-1], said
    assert not list(fetched.kit.run.glob("work.*"))


def test_a_dry_run_says_what_is_offered_and_changes_nothing(fetched: Fetched) -> None:
    d = fetched.signed(4711, "1.0")
    fetched.lay_out()
    before = {p: p.stat().st_mtime_ns for p in fetched.kit.state.rglob("*")}
    name = fetched.previews[d.name].name

    assert fetched.kit.fetch("--dry-run") == (
        0,
        [
            f"{fetched.kit.what}: would hand to the receiver: statement 1, to install {name}; here is none. "
            "Not verified yet"
        ],
    )
    assert {p: p.stat().st_mtime_ns for p in fetched.kit.state.rglob("*")} == before
    assert not (fetched.kit.root / name).exists()
    fetched.kit.fetch()
    assert fetched.kit.fetch("--dry-run")[1] == [f"{fetched.kit.what}: nothing new; statement 1 is what is here"]


def test_what_its_probes_do_not_pass_is_not_announced_and_not_tried_each_hour(fetched: Fetched) -> None:
    fetched.signed(4711, "1.0", {**SMALL, "bin/breaks": b""})
    fetched.lay_out()

    code, said = fetched.kit.fetch()
    assert (code, said[2:]) == (1, ["  PPS-PROBE tree CRITICAL - it breaks"])
    assert fetched.kit.tags == ""
    assert "tried again by --thoroughly" in fetched.kit.fetch()[1][0]
    (fetched.kit.folder / "production/bin/tool").write_text("something has changed it")
    (fetched.kit.folder / "kit/bin/pps-probes").write_text(_PROBES.replace("breaks", "nothing"))
    assert fetched.kit.fetch("--thoroughly")[0] == 0
    assert fetched.kit.tags != ""
    first, second = (fetched.kit.folder / "kit/before").read_text().splitlines()
    assert (first, first[:6]) == (second, "names:"), "what production was before it came, and not what it is now"


def test_what_is_damaged_loses_its_tag_until_it_is_whole_and_a_tag_that_was_taken_away_stays_away(
    fetched: Fetched,
) -> None:
    d = fetched.signed(4711, "1.0")
    fetched.lay_out()
    fetched.kit.fetch()
    tag = fetched.kit.tags
    tool = fetched.kit.root / fetched.previews[d.name].name / "bin/tool"
    tool.write_bytes(b"#!/bin/sh\necho x\n")  # as long as it was
    assert fetched.kit.fetch()[0] == 0, "every hour names and sizes, once a day all"
    fetched.served.statuses["/" + fetched.payload(d)] = 503
    code, said = fetched.kit.fetch("--thoroughly")
    assert (code, fetched.kit.tags, "is not as it was signed" in said[0]) == (1, "", True)
    fetched.served.statuses.clear()
    fetched.kit.fetch("--thoroughly")
    assert (tool.read_bytes(), fetched.kit.tags) == (SMALL["bin/tool"], tag)

    fetched.kit.ask("untag", fetched.kit.what, tag.strip())
    assert "is not put back" in fetched.kit.fetch("--thoroughly")[1][0]
    assert fetched.kit.tags == ""
    assert fetched.kit.fetch("--announce")[0] == 0
    assert fetched.kit.tags == tag


def test_what_was_replaced_goes_after_its_days_and_what_is_in_force_does_not(
    tmp_path: Path, http_folder: HttpFolder
) -> None:
    centre = Fetched(tmp_path / "centre", http_folder, keep_days=1)
    names = []
    for number, version, tree in ((4711, "1.0", SMALL), (4712, "1.1", NEXT)):
        d = centre.signed(number, version, tree)
        centre.lay_out()
        centre.kit.fetch()
        names.append(centre.previews[d.name].name)
    assert {p.name for p in centre.kit.root.glob("client-*")} == set(names)
    newest = centre.kit.state / centre.kit.what / "2"
    os.utime(newest, (newest.stat().st_mtime - 2 * 86400,) * 2)

    assert f"{centre.kit.what}: {names[0]} was replaced more than 1 days ago, and is gone" in centre.kit.fetch()[1]
    assert [p.name for p in centre.kit.root.glob("client-*")] == [names[1]]


def test_what_a_push_would_not_bring_is_not_offered_either(fetched: Fetched) -> None:
    d = fetched.built(4711, "1.0")
    fetched.lay_out()
    assert not fetched.laid_out.exists(), "nobody has signed it"
    fetched.sign(d)
    assert fetched.lay_out() == (), "its canaries have not passed"
    assert not (fetched.served.folder / "1/payloads").exists()
    assert fetched.kit.fetch() == (0, [f"{fetched.kit.what}: nothing of it is in force"])
    d.record(d.fact(FactKind.GATE_PASSED, "", "", {"why": []}))
    d.record(d.fact(FactKind.ROLLOUT_PAUSED, "", "1", {"reason": "Somebody looks at it."}))
    assert fetched.lay_out() == (), "it is paused"
    d.record(d.fact(FactKind.ROLLOUT_RESUMED, "", "2", {"reason": "It is well."}))
    assert fetched.lay_out() == (fetched.kit.what,)
    # the store is not what is on record: nobody is served, and people hear of it
    part = next(p for p in (fetched.artefacts.folder / fetched.previews[d.name].name).iterdir() if "external" in p.name)
    part.write_bytes(b"swapped")
    shutil.rmtree(fetched.services.payload_cache)
    assert fetched.lay_out() == ()
    assert any("digest on record" in mail.text for mail in fetched.services.given["mailer"].mails)


def test_what_is_under_embargo_is_fetched_by_nobody(fetched: Fetched) -> None:
    one = fetched.signed(4711, "1.0")
    two = fetched.signed(4712, "1.1", NEXT)
    advice = Advice(embargo_until=now() + WEEK)
    fact = Fact(dossier_name(4712), FactKind.ADVICE_SEEN, "", "1", now(), "pps", advice.written())
    fetched.store.record_in_dossier(4712, fact)

    fetched.lay_out()

    text = "".join(p.read_text(errors="replace") for p in fetched.served.folder.rglob("*") if p.is_file())
    assert fetched.previews[two.name].name not in text
    assert fetched.kit.fetch()[1][0].endswith(f"{fetched.previews[one.name].name} is installed, statement 1")


@pytest.mark.needs("sudo", "root", "linux")
def test_as_roots_install_it_cron_fetches_with_the_account_that_may_only_receive(fetched: Fetched) -> None:
    d = fetched.signed(4711, "1.0")
    fetched.lay_out()
    folder = fetched.folder / "machine"
    with kit_machine.running(folder, fetched.people, fetched.artefacts, fetch_from=fetched.served.url) as machine:
        machine.inside("chown", "ppskeep", "/srv/tags/ce.example.org/ops", check=False)
        machine.inside("sh", "/srv/pps-kit/bin/pps-kit-install", check=False)
        machine.inside("chown", "ppskeep", "/srv/tags/ce.example.org/ops")
        checked = machine.inside("sh", "/opt/pps-kit/bin/pps-kit-check")
        assert "OK     cron starts it as pps" in checked
        times = [line.split() for line in machine.inside("cat", "/etc/cron.d/pps-kit").splitlines()[1:]]
        assert [t[5:] for t in times] == [
            ["pps", "/opt/pps-kit/bin/pps-fetch", "--quiet"],
            ["pps", "/opt/pps-kit/bin/pps-fetch", "--quiet", "--thoroughly"],
        ]
        machine.inside("sh", "/srv/pps-kit/bin/pps-kit-install")
        assert [line.split() for line in machine.inside("cat", "/etc/cron.d/pps-kit").splitlines()[1:]] == times

        refused = machine.inside("/opt/pps-kit/bin/pps-fetch", check=False)
        assert refused == "", "root is told on standard error to run it as pps"
        said = machine.inside(
            *("setpriv", "--reuid=pps", "--regid=pps", "--clear-groups", "/opt/pps-kit/bin/pps-fetch"), check=False
        )
        name = fetched.previews[d.name].name
        assert said.splitlines()[0] == f"{machine.what}: {name} is installed, statement 1"
        assert machine.inside("stat", "-c", "%U", f"/srv/previews/{name}/bin/tool") == "ppskeep\n"
        assert machine.ask("state")[2].split()[:3] == ["PPS-PRODUCT", machine.what, "1"], "and so does whoever asks"
        # root of a machine that publishes asks the kit as that account, too (test_previews_in_cvmfs.py)
        machine.inside("sh", "-c", "mkdir /srv/tools; ln -s /bin/true /srv/tools/cvmfs_server")
        machine.inside("sed", "-i", "s,^path ,path /srv/tools:,", "/opt/pps-kit/etc/kit")
        said = machine.inside(
            *("env", "PPS_CVMFS_LOG=/srv/log", "/opt/pps-kit/bin/pps-cvmfs", "--dry-run", "pps.example.org", "previews")
        )
        assert said == f"{machine.what}: would publish {name}\n"


def test_the_doctor_sees_that_nothing_is_laid_out_any_more(fetched: Fetched) -> None:
    def told(after: timedelta) -> tuple[Health, str]:
        here = Front(fetched.services, now=lambda: now() + after, pause=lambda _: None)
        limits = SiteLimits(connect_s=1, silence_s=1, total_s=1)
        (found,) = [f for f in kit_findings(here, [], limits, 5) if f.subject == "sites that fetch, ssh"]
        return found.health, found.text

    assert told(timedelta())[0] is Health.FAIL
    fetched.signed(4711, "1.0")
    fetched.lay_out()
    assert told(timedelta(hours=1))[0] is Health.OK
    health, text = told(timedelta(days=1))
    assert (health, "sites take nothing a week after that" in text) == (Health.FAIL, True)
    (fetched.served.folder / "1/ssh/current").write_bytes(b"\xffPPS-END")
    assert told(timedelta())[0] is Health.FAIL
