from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.support.bad_input import HTML, JINJA
from tests.support.examples import NOW, PATCH, SITES, asked, opened, previewed, sqlite_store, templates
from tests.support.snapshots import matches_snapshot

from pps.activities.clients.bulletin import write_bulletin
from pps.activities.packages.fetching import note_trust
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.domain.packages.repository_trust import Trust
from pps.domain.record.facts import Fact, FactKind

URL = "https://pps.example.org"


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
    assert write(store, tmp_path) == ("bulletin.json", "bulletin.html")
    content = json.loads((tmp_path / "bulletin.json").read_text())
    (rollout,) = content["rollouts"]
    assert {s["site"]: s["state"] for s in rollout["sites"]} == {
        "PIC": "available",
        "INFN-T1": "available",
        "IFIC-LCG2": "tagged",
        "LIP-Lisbon": "failed",
        "INFN-BARI": "failed",
        "CNAF-PPS": "left out",
    }
    assert rollout["counts"] == {"available": 2, "tagged": 1, "failed": 2, "left out": 1}
    matches_snapshot("bulletin.json", (tmp_path / "bulletin.json").read_text())
    rows = Page((tmp_path / "bulletin.html").read_text()).rows
    assert "SouthWest PIC debian12-amd64 available 01 Dec 09:39" in rows
    assert "Italy INFN-BARI debian12-amd64 failed 01 Dec 09:36" in rows


def test_users_find_the_tag_and_the_line_for_their_jdl(store: FactStore, tmp_path: Path) -> None:
    previewed(store)
    write(store, tmp_path)
    page = (tmp_path / "bulletin.html").read_text()
    assert "Member(&#34;VO-ops-PPS-GLITE-WN-3.1.23&#34;, other.GlueHostApplicationSoftwareRunTimeEnvironment);" in page


def test_what_has_not_changed_is_not_written_again(store: FactStore, tmp_path: Path) -> None:
    record = previewed(store)
    write(store, tmp_path)
    before = {f.name: f.stat().st_mtime_ns for f in tmp_path.iterdir()}
    assert write(store, tmp_path, timedelta(hours=1)) == ()
    assert {f.name: f.stat().st_mtime_ns for f in tmp_path.iterdir()} == before
    store.record(Fact(record.name, FactKind.TAG_SEEN, "IFIC-LCG2", "x", NOW, "pps"))
    assert write(store, tmp_path) == ("bulletin.json", "bulletin.html")


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
    rows = Page((tmp_path / "bulletin.html").read_text()).rows
    assert rows[0] == "Region Site Platform lcg-utils 3.1.23 patch 4712 glite-WN 3.1.23 patch 4711"
    assert "SouthWest PIC debian12-amd64 not planned available 01 Dec 09:39" in rows


def test_the_bulletin_shows_no_person_no_address_and_no_words_of_a_site(store: FactStore, tmp_path: Path) -> None:
    record = asked(store, previewed(store))
    payload = {"opinion": "problem", "text": "secret of a VO", "author": "a person", "invited": True}
    store.record(Fact(record.name, FactKind.FEEDBACK_GIVEN, "atlas", "1", NOW, "VO atlas", payload))
    write(store, tmp_path)
    for file in tmp_path.iterdir():
        text = file.read_text()
        assert not [
            w for w in ("a person", "secret of a VO", "@example.org", "no answer on port", "zz-local") if w in text
        ]


def test_the_page_loads_nothing_and_runs_nothing(store: FactStore, tmp_path: Path) -> None:
    previewed(store)
    write(store, tmp_path)
    page = Page((tmp_path / "bulletin.html").read_text())
    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    assert all(link.startswith((URL, "#", "bulletin.json")) for link in page.links)


@pytest.mark.parametrize("text", [*HTML, *JINJA])
def test_text_of_the_tracker_stays_text(store: FactStore, tmp_path: Path, text: str) -> None:
    previewed(store)
    write(store, tmp_path)
    plain = Page((tmp_path / "bulletin.html").read_text())
    other = sqlite_store()
    previewed(other, dataclasses.replace(PATCH, title=text))
    write(other, tmp_path)
    page = Page((tmp_path / "bulletin.html").read_text())
    assert (page.tags, page.links, page.events) == (plain.tags, plain.links, [])


def test_a_source_without_a_signature_is_shown_with_the_reason(store: FactStore, tmp_path: Path) -> None:
    record = opened(store)
    note_trust(record, store, PATCH, Trust(keyring=Path("keys.gpg")), NOW, "pps")
    assert not store.rollout(record.name).has(FactKind.INDEX_UNSIGNED)
    for _ in range(2):
        trust = Trust(unsigned="The developer signs from <June> on.")
        note_trust(store.rollout(record.name), store, PATCH, trust, NOW, "pps")
    write(store, tmp_path)
    (shown,) = json.loads((tmp_path / "bulletin.json").read_text())["rollouts"]
    assert shown["unsigned"] == "The developer signs from <June> on."
    page = (tmp_path / "bulletin.html").read_text()
    assert "not signed</strong> by its provider: The developer signs from &lt;June&gt; on." in page
