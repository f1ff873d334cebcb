"""`pps provider`: from a file through the web's door into the record and the tracker, and back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.provider import Provider, apt_provider  # noqa: F401
from tests.support.submitting import MANAGER, OTHER, PAT, Submitting
from tests.unit.cli.pilots.test_pilot_doors import Through
from tests.unit.cli.test_commands import as_json, one_line, pps

from pps.cli.front import Front
from pps.domain.packages.patch import PackageRef
from pps.sandbox.provider.package_formats import SamplePackage

CLIENT = SamplePackage(PackageRef("client", "1.0-1", "all"), {"usr/bin/client": (0o755, "#!/bin/sh\n")})
RELEASE = "glite-WN/3.1.24"


@pytest.fixture
def world(apt_provider: Provider, tmp_path: Path) -> Iterator[Submitting]:
    (tmp_path / "world").mkdir()
    made = Submitting(apt_provider, tmp_path / "world")
    yield made
    made.store.dispose()


@pytest.fixture
def front(world: Submitting, monkeypatch: pytest.MonkeyPatch) -> Front:
    monkeypatch.setenv("COLUMNS", "120")
    made = Front(world.services, now=world.clock, pause=lambda _: time.sleep(0.02))
    made.__dict__["airflow"] = Through(web=world.web, who=PAT)
    return made


def file(world: Submitting, **changes: Any) -> str:
    path = world.folder / "release.yaml"
    path.write_text(yaml.safe_dump(world.document(CLIENT, **changes)))
    return str(path)


def test_a_release_is_checked_corrected_submitted_and_listed(front: Front, world: Submitting) -> None:
    wrong = file(world, release_notes="")
    code, out, _ = pps(front, "provider", "check", wrong)
    assert (code, "It has no release notes. Say what changes" in one_line(out)) == (1, True)
    assert world.tracker.known == {}
    code, out, _ = pps(front, "provider", "submit", wrong)
    assert (code, "Refused: 1 open fault." in one_line(out)) == (1, True)
    code, out, _ = pps(front, "provider", "submit", file(world))
    assert (code, "It is patch 1 in the tracker" in one_line(out)) == (0, True)
    assert "entered" in pps(front, "provider", "releases")[1]
    shown = as_json(front, "provider", "show", RELEASE)
    assert [look["state"] for look in shown["looks"]] == ["entered", "refused", "checked"]


def test_a_fault_is_waived_by_its_key_and_nobody_else_may(front: Front, world: Submitting) -> None:
    wrong = file(world, release_notes="")
    pps(front, "provider", "submit", wrong)
    key = as_json(front, "provider", "show", RELEASE)["findings"][0]["key"]
    waive = ("provider", "waive", RELEASE, key, "--reason", "The notes are on the provider's page")
    code, _, err = pps(front, *waive)
    assert (code, "Only the Release Manager waives" in one_line(err)) == (1, True)
    front.airflow.who = MANAGER  # type: ignore[attr-defined]
    code, out, _ = pps(front, *waive)
    assert (code, "Waived by rita (Release Manager)" in one_line(out)) == (0, True)
    front.airflow.who = PAT  # type: ignore[attr-defined]
    assert pps(front, "provider", "submit", wrong)[0] == 0
    front.airflow.who = OTHER  # type: ignore[attr-defined]
    code, _, err = pps(front, "provider", "show", RELEASE)
    assert (code, "no such release here that you may see" in one_line(err)) == (1, True)
    assert "No release was submitted yet" in pps(front, "provider", "releases")[1]


def test_help_teaches_the_file_and_a_bad_one_is_refused_in_words(front: Front, world: Submitting) -> None:
    out = pps(front, "provider", "submit", "--help")[1]
    for words in ("metapackage: glite-WN", "depends_on: [4711]", "docs/provider.md"):
        assert words in out
    path = world.folder / "odd.yaml"
    for text, why in (
        ("- a list", "no mapping of fields"),
        ("metapackage: glite-WN\nversion: 3.1\n", "version"),
        ("metapackage: glite-WN\nversion: 2026-01-01\n", "title"),
        ("a: [", "Correct the file."),
    ):
        path.write_text(text)
        code, _, err = pps(front, "provider", "check", str(path))
        assert (code, why in one_line(err)) == (1, True), err
    assert pps(front, "provider", "show", "glite-WN")[0] == 2


def test_a_product_as_egi_describes_it_is_submitted(front: Front, world: Submitting) -> None:
    ours = world.document(CLIENT)
    os, _, arch = ours["platforms"][0].rpartition("-")
    target = {
        "platform": os,
        "arch": arch,
        "repositoryURL": ours["repository"]["url"],
        "debs": [f"{ours['repository']['url']}/client_1.0-1_all.deb"],
    }
    path = world.folder / "product.json"
    product = {"name": "glite-WN", "version": "3.1.24", "description": "Proxies are renewed.", "targets": [target]}
    path.write_text(json.dumps(product))
    found = as_json(front, "provider", "submit", str(path), "--no-wait")
    document = found["document"]
    assert (found["release"], document["packages"]) == (RELEASE, ours["packages"])
    assert document["repository"]["suite"] == "./"
    other = {**target, "platform": "debian13", "repositoryURL": "https://elsewhere.example.org/debian"}
    path.write_text(json.dumps({**product, "targets": [target, other]}))
    several = as_json(front, "provider", "check", str(path), "--no-wait")["releases"]
    assert [r["version"] for r in several] == [f"3.1.24-{os}", "3.1.24-debian13"]
    refused = world.send({**product, "targets": [target, other]})
    assert "It makes 2 releases" in refused.text


def test_a_site_offers_a_slot_accepts_a_release_and_reports_on_it(front: Front, world: Submitting) -> None:
    pps(front, "provider", "submit", file(world))
    assert "0 of 2 early adopters" in one_line(pps(front, "provider", "adopters")[1])
    code, _, err = pps(front, "provider", "offer", "site:PIC", "glite-WN", "1")
    assert (code, "Only the administrators of PIC" in one_line(err)) == (1, True)
    front.airflow.who = "ana:Site Administrator"  # type: ignore[attr-defined]
    pps(front, "provider", "offer", "site:PIC", "glite-WN", "1")
    until = (world.clock().date() + timedelta(days=7)).isoformat()
    assert f"tries it until {until}" in one_line(pps(front, "provider", "adopt", "site:PIC", "1", "--until", until)[1])
    assert "works" in pps(front, "provider", "report", "site:PIC", "1", "works", "--text", "Fast.")[1]
    (release,) = as_json(front, "provider", "adopters")["releases"]
    assert release["adopters"][0]["text"] == "Fast."


def test_files_are_uploaded_and_what_a_release_says_of_them_is_printed(front: Front, world: Submitting) -> None:
    path = world.folder / "any-name.deb"
    path.write_bytes(world.made(CLIENT))
    code, out, _ = pps(front, "provider", "upload", str(path))
    printed = yaml.safe_load(out)
    assert (code, printed["packages"]) == (0, [{"name": "client", "version": "1.0-1", "arch": "all"}])
    release = world.folder / "uploaded.yaml"
    release.write_text(yaml.safe_dump({**world.document(CLIENT), **printed}))
    assert pps(front, "provider", "submit", str(release))[0] == 0
    assert world.tracker.known[1].repository.url.endswith("/uploads/grid-europe/apt")
    path.write_bytes(b"no package")
    code, _, err = pps(front, "provider", "upload", str(path))
    assert (code, "neither a .deb nor an .rpm" in one_line(err)) == (1, True)
