from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.support.bad_input import HTML, JINJA
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, PATCH, SITES, asked, opened, previewed, sqlite_store, templates
from tests.support.snapshots import matches_snapshot

from pps.activities.clients.bulletin import bulletin
from pps.activities.clients.bulletin_pages import as_shown, front_view, write_bulletin
from pps.activities.clients.opening import open_client_rollout
from pps.activities.packages.fetching import note_trust
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.domain.packages.patch import Case
from pps.domain.packages.repository_trust import Trust
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath

URL = "https://pps.example.org"
OF_ONE, MAP = "bulletin/bc-client-4711-1.html", "bulletin/sites.html"
FILES = ("bulletin.json", OF_ONE, MAP, "bulletin.html")


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


def write(store: FactStore, folder: Path, now: timedelta = timedelta()) -> tuple[str, ...]:
    return write_bulletin(store, SITES, templates(), PublishedFolder(folder), NOW + now, URL)


class Page(HTMLParser):
    """What a browser would load or run, and the table's cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.events: list[str] = []
        self.rows: list[str] = []
        self._text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.events += [name for name, _ in attrs if name.startswith("on")]
        if tag == "tr":
            self._text = []

    def handle_data(self, data: str) -> None:
        self._text += data.split()

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self.rows.append(" ".join(self._text))


@pytest.mark.sd("4.1.1", step=5)
def test_the_bulletin_tells_which_version_is_at_which_site(store: FactStore, tmp_path: Path) -> None:
    asked(store, previewed(store))
    assert write(store, tmp_path) == FILES
    content = json.loads((tmp_path / "bulletin.json").read_text())
    (rollout,) = content["rollouts"]
    assert {s["site"]: s["state"] for s in rollout["sites"]} == {
        "PIC": "available",
        "INFN-T1": "available",
        "IFIC-LCG2": "tagged",
        "LIP-Lisbon": "installed, not announced",
        "INFN-BARI": "failed",
        "CNAF-PPS": "left out",
    }
    assert rollout["counts"] == {
        "available": 2, "tagged": 1, "installed, not announced": 1, "failed": 1, "left out": 1,
    }  # fmt: skip
    matches_snapshot("bulletin.json", (tmp_path / "bulletin.json").read_text())
    rows = Page((tmp_path / MAP).read_text()).rows
    assert "SouthWest PIC debian12-amd64 available 01 Dec 09:39" in rows
    assert "Italy INFN-BARI debian12-amd64 failed 01 Dec 09:36" in rows
    assert Page((tmp_path / OF_ONE).read_text()).rows[1:] == [
        "failed INFN-BARI Italy debian12-amd64 01 Dec 2025 09:36",
        "installed, not announced LIP-Lisbon SouthWest debian12-amd64 01 Dec 2025 09:37",
        "tagged IFIC-LCG2 SouthWest debian12-amd64 01 Dec 2025 09:37",
        "available INFN-T1 Italy debian12-amd64 01 Dec 2025 09:40",
        "available PIC SouthWest debian12-amd64 01 Dec 2025 09:39",
        "left out CNAF-PPS Italy debian12-amd64 01 Dec 2025 09:30",
    ]


def test_users_find_the_tag_and_the_line_for_their_jdl(store: FactStore, tmp_path: Path) -> None:
    previewed(store)
    write(store, tmp_path)
    page = (tmp_path / "bulletin.html").read_text()
    assert "Member(&#34;VO-ops-PPS-GLITE-WN-3.1.23&#34;, other.GlueHostApplicationSoftwareRunTimeEnvironment);" in page


def test_what_has_not_changed_is_not_written_again(store: FactStore, tmp_path: Path) -> None:
    record = previewed(store)
    write(store, tmp_path)
    before = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")}
    assert write(store, tmp_path, timedelta(hours=1)) == ()
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")} == before
    store.record(Fact(record.name, FactKind.TAG_SEEN, "IFIC-LCG2", "x", NOW, "pps"))
    assert write(store, tmp_path) == FILES


def test_an_ended_rollout_is_shown_for_a_month(store: FactStore, tmp_path: Path) -> None:
    record = previewed(store)
    store.record(Fact(record.name, FactKind.RELEASED_TO_PRODUCTION, "", "", NOW, "pps"))
    store.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "pps"))

    def shown(after: timedelta) -> list[str]:
        write(store, tmp_path, after)
        return [r["stage"] for r in json.loads((tmp_path / "bulletin.json").read_text())["rollouts"]]

    assert shown(timedelta(days=29)) == ["released"]
    assert shown(timedelta(days=31)) == []
    assert "No preview is out at present." in (tmp_path / "bulletin.html").read_text()


def test_several_previews_stand_side_by_side(store: FactStore, tmp_path: Path) -> None:
    previewed(store)
    opened(store, dataclasses.replace(PATCH, number=4712, metapackage="lcg-utils"), run="second")
    write(store, tmp_path)
    rows = Page((tmp_path / MAP).read_text()).rows
    assert rows[0] == "Region Site Platform lcg-utils 3.1.23 patch 4712 glite-WN 3.1.23 patch 4711"
    assert "SouthWest PIC debian12-amd64 not planned available 01 Dec 09:39" in rows


def test_the_bulletin_shows_no_person_no_address_and_no_words_of_a_site(store: FactStore, tmp_path: Path) -> None:
    record = asked(store, previewed(store))
    payload = {"opinion": "problem", "text": "secret of a VO", "author": "a person", "invited": True}
    store.record(Fact(record.name, FactKind.FEEDBACK_GIVEN, "atlas", "1", NOW, "VO atlas", payload))
    write(store, tmp_path)
    for file in (f for f in tmp_path.rglob("*") if f.is_file()):
        text = file.read_text()
        assert not [
            w for w in ("a person", "secret of a VO", "@example.org", "no answer on port", "zz-local") if w in text
        ]


def test_the_page_loads_nothing_and_runs_nothing(store: FactStore, tmp_path: Path) -> None:
    previewed(store)
    write(store, tmp_path)
    for name in FILES[1:]:
        page = Page((tmp_path / name).read_text())
        assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
        for link in page.links:
            assert link.startswith(URL) or (tmp_path / name).parent.joinpath(link).is_file(), (name, link)


def test_the_first_page_is_short_and_leads_to_every_site(store: FactStore, tmp_path: Path) -> None:
    names = [f"SITE-{n:03}" for n in range(300)]
    for number in range(10):
        record = opened(store, dataclasses.replace(PATCH, number=4711 + number), run=f"run {number}")
        store.record(Fact(record.name, FactKind.PLAN_AGREED, "", "", NOW, "pps", {"batches": {"fleet": names}}))
        store.record(*(Fact(record.name, FactKind.SITE_FAILED, site, "fleet", NOW, "pps") for site in names[:20]))
    write(store, tmp_path)
    first = (tmp_path / "bulletin.html").read_text()
    assert len(first.encode()) < 100_000
    assert f"{', '.join(names[:12])} and 8 more" in first
    pages = [tmp_path / link for link in Page(first).links if link.startswith("bulletin/")]
    assert sorted({page.name for page in pages}) == sorted(
        ["sites.html", *(f"bc-client-{4711 + n}-1.html" for n in range(10))]
    )
    for page in pages:
        rows = Page(page.read_text()).rows
        assert len(rows) == 301
        assert all(any(name in row.split() for row in rows) for name in names)
        if page.name != "sites.html":
            assert [row.split()[0] for row in rows[1:]] == ["failed"] * 20 + ["planned"] * 280


class Whole(FactStore):
    """Reads whole histories."""

    def standing(self, names: Collection[str], as_of: datetime | None = None) -> Mapping[str, Rollout]:
        return {
            n: self.dossier(int(n.removeprefix("patch-"))) if n.startswith("patch-") else self.rollout(n) for n in names
        }


def test_what_newer_facts_have_overtaken_is_not_read_and_changes_nothing(tmp_path: Path) -> None:
    store, whole = (kind(f"sqlite:///{tmp_path}/facts.db") for kind in (FactStore, Whole))
    store.upgrade()
    record = previewed(store, dataclasses.replace(PATCH, title="As ada.l and eve.m wrote"))
    for actor, kind, night in (
        ("ada.l", FactKind.TAG_ADDED, "night-1"),
        ("pps", FactKind.TAG_SEEN, "night-1"),
        ("pps", FactKind.PROBES_FAILED, "night-2"),
        ("pps", FactKind.PROBES_PASSED, "night-3"),
        ("pps", FactKind.PREVIEW_LOST, "night-4"),
        ("pps", FactKind.PREVIEW_INSTALLED, "night-4"),
    ):
        store.record(*(Fact(record.name, kind, site, night, NOW, actor) for site in ("PIC", "INFN-T1", "NEW-SITE")))
    by = {"user": "eve.m"}  # what people record is kept: their names must be known, to be hidden
    store.record(Fact(record.name, FactKind.SITE_CONFIGURED, "PIC", "", NOW, "pps", by))
    store.record(Fact(record.name, FactKind.PROBES_PASSED, "PIC", "night-5", NOW, "pps"))
    assert bulletin(store, SITES, NOW) == bulletin(whole, SITES, NOW)
    assert bulletin(store, SITES, NOW)["rollouts"][0]["title"] == "As *** and *** wrote"
    read = store.standing([record.name])[record.name].facts
    assert len(read) < len(store.rollout(record.name).facts) - 15
    assert store.standing(["patch-1"]) == {"patch-1": Rollout("patch-1")}
    store.dispose()
    whole.dispose()


def test_a_site_that_its_own_people_have_configured_is_counted(store: FactStore, tmp_path: Path) -> None:
    record = previewed(store)
    store.record(Fact(record.name, FactKind.SITE_CONFIGURED, "IFIC-LCG2", "", NOW, "pps"))
    write(store, tmp_path)
    (shown,) = json.loads((tmp_path / "bulletin.json").read_text())["rollouts"]
    assert shown["counts"]["configured"] == 1
    assert sum(shown["counts"].values()) == len(shown["sites"])
    assert '<span class="state s-configured">1 configured</span>' in (tmp_path / "bulletin.html").read_text()


@pytest.mark.parametrize("text", [*HTML, *JINJA])
def test_text_of_the_tracker_stays_text(store: FactStore, tmp_path: Path, text: str) -> None:
    previewed(store)
    write(store, tmp_path)
    plain = {name: Page((tmp_path / name).read_text()) for name in FILES[1:]}
    other = sqlite_store()
    previewed(other, dataclasses.replace(PATCH, title=text))
    write(other, tmp_path)
    for name, was in plain.items():
        page = Page((tmp_path / name).read_text())
        assert (page.tags, page.links, page.events) == (was.tags, was.links, [])


def test_a_source_without_a_signature_is_shown_with_the_reason(store: FactStore, tmp_path: Path) -> None:
    record = opened(store)
    note_trust(at_desk(record, store, patch=PATCH, now=NOW, actor="pps"), Trust(keyring=Path("keys.gpg")))
    assert not store.rollout(record.name).has(FactKind.INDEX_UNSIGNED)
    for _ in range(2):
        trust = Trust(unsigned="The developer signs from <June> on.")
        note_trust(at_desk(store.rollout(record.name), store, patch=PATCH, now=NOW, actor="pps"), trust)
    write(store, tmp_path)
    (shown,) = json.loads((tmp_path / "bulletin.json").read_text())["rollouts"]
    assert shown["unsigned"] == "The developer signs from <June> on."
    page = (tmp_path / "bulletin.html").read_text()
    assert "not signed</strong> by its provider: The developer signs from &lt;June&gt; on." in page


@pytest.mark.sd("4.1.1", step=5)
def test_the_bulletin_tells_how_to_test_a_preview_as_it_was_agreed_at_its_opening() -> None:
    case = Case("renew-proxy", "A proxy is renewed while a job runs", "Submit a job of **13 h**. <b>x</b>")
    store, patch = sqlite_store(), dataclasses.replace(PATCH, test_cases=(case,))
    office = at_office(store, patch=patch)
    open_client_rollout(office, patch, tag_vo="ops", run="r/1", path=RolloutPath.BC_CLIENT)
    content = bulletin(store, {}, NOW)
    (shown,) = content["rollouts"]
    assert shown["test_cases"] == [{"name": case.name, "title": case.title, "how": case.how}]
    html = templates().render("bulletin.html", front_view(None, as_shown(content, NOW, URL)))
    assert "How do I test this?" in html
    assert "<strong>13 h</strong>" in html and "<b>x</b>" not in html
