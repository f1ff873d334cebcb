"""A patch whose every text is hostile, from a real tracker to everybody who reads of it: text stays text."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML, JINJA
from tests.support.examples import opened
from tests.support.front import NOW, MemoryServices, services  # noqa: F401
from tests.support.sandbox_grid import RunningGrid, sandbox_grid  # noqa: F401
from tests.unit.cli.test_commands import pps
from tests.unit.web.test_api import airflow_user

from pps.adapters.record.store import FactStore
from pps.cli.front import Front
from pps.domain.packages.patch import Bug, Case, PackageRef, Repository, RepositoryKind, Severity
from pps.domain.sites.site import Platform
from pps.sandbox.provider.scenario import demo_patch
from pps.web.app import create_app

HOSTILE = " ".join((*HTML, *JINJA))
NUMBER = 6001
PATCH = dataclasses.replace(
    demo_patch(
        Repository(RepositoryKind.YUM, "http://repository.example.org/yum"),
        [PackageRef("glite-wn", "3.1.23-1", "noarch")],
        platform=Platform("debian12", "amd64"),
        number=NUMBER,
    ),
    title=HOSTILE[:480],
    release_notes=HOSTILE,
    bugs=(Bug(77001, HOSTILE[:480], Severity.MAJOR, "ada@example.org"),),
    test_cases=(Case("try", HOSTILE[:480], HOSTILE),),
)
PAGES = (f"patches/{NUMBER}", "bulletin", "home", "map", f"feedback/bc-client-{NUMBER}-1")


class Harm(HTMLParser):
    """What in a page would run, or ask somebody else."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        runs = [name for name in given if name.startswith("on")]
        leads = [v for v in given.values() if v.lower().strip().startswith(("javascript:", "data:", "//"))]
        if runs or leads or tag in ("img", "style", "iframe") or (tag == "script" and "src" not in given):
            self.found.append(f"<{tag} {given}>")


@pytest.mark.sd("4.1.1")
def test_no_text_of_a_patch_is_more_than_text_wherever_it_is_read(
    sandbox_grid: RunningGrid,
    services: MemoryServices,
    tmp_path: Path,
) -> None:
    sandbox_grid.tracker.enter(PATCH)
    patch = sandbox_grid.tracker.patch(NUMBER)
    assert (patch.title, patch.release_notes, patch.bugs) == (PATCH.title, PATCH.release_notes, PATCH.bugs)
    store = FactStore(f"sqlite:///{tmp_path}/facts.db")  # read by the server's threads
    store.upgrade()
    name = opened(store, patch, run="run").name
    assert name == f"bc-client-{NUMBER}-1"
    given = {**services.given, "facts": store, "tracker": sandbox_grid.tracker}
    here = dataclasses.replace(services, given=given)
    web = TestClient(create_app(lambda: here, airflow_user, lambda: NOW), base_url="https://pps.example.org")
    assert Harm(HOSTILE).found, "it would be seen"
    for page in PAGES:
        answer = web.get(f"/{page}", headers={"Accept": "text/html"})
        assert answer.status_code == 200, page
        assert Harm(answer.text).found == [], page
    assert "49" not in web.get(f"/patches/{NUMBER}").text.split("</title>")[0], "no template of theirs is rendered"
    front = Front(here, now=lambda: NOW, pause=lambda _: None)
    for words in (("patches", "show", str(NUMBER)), ("why", str(NUMBER))):
        code, out, _ = pps(front, *words)
        assert code == 0
        assert "\x1b" not in out
