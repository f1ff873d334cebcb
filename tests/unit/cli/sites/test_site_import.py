"""`pps sites import`: shows what would change, and changes it only when told to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import gocdb
from tests.support.front import front, services, site, write_config  # noqa: F401
from tests.support.http_folder import HttpFolder, http_folder  # noqa: F401
from typer.testing import CliRunner

from pps.cli.front import Front
from pps.cli.main import app
from pps.config.loader import Configuration

SAYS = {"ROC": "North", "TIMEZONE": "UTC", "LATITUDE": "", "LONGITUDE": ""}


def listed(name: str, extensions: tuple[tuple[str, str], ...] = (), **more: str) -> str:
    contact = f"admin@{name.lower()}.example.org"
    return gocdb.site(name, extensions, **{"CONTACT_EMAIL": contact, **SAYS, **more})


SITES = gocdb.document(
    listed("PIC", (("PPS_PARTNER_LEVEL", "Gold"),)),
    listed("CNAF", CERTIFICATION_STATUS="Suspended"),
    listed("IT-PERUGIA", gocdb.USABLE),
    listed("IT-LECCE", (("PPS_PREVIEWS", "yes"),)),
    listed("IT-MODENA"),
    listed("$(reboot)"),
)
SERVICES = gocdb.document(gocdb.service("PIC"))


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "get_site.xml").write_text(SITES)
    (tmp_path / "get_service.xml").write_text(SERVICES)
    return [str(tmp_path / "get_site.xml"), str(tmp_path / "get_service.xml")]


def pps(front: Front, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["sites", "import", *words], obj=front)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.stdout.split()), result.stderr


def as_json(front: Front, *words: str) -> Any:
    code, out, err = pps(front, *words, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def registry(front: Front) -> Configuration:
    return Configuration(front.services.config.folder)


def test_without_apply_everything_is_said_and_nothing_is_written(front: Front, files: list[str]) -> None:
    path = front.services.config.folder / "sites.yaml"
    before = path.read_bytes()
    code, out, err = pps(front, *files)
    assert (code, err) == (0, "")
    for sentence in (
        "PIC: partner_levels none -> Gold.",
        "PIC: services none -> CREAM-CE at ce01.pic.example.org.",
        "CNAF: certification Certified -> Suspended. It gets no previews while it is Suspended.",
        "IT-PERUGIA: added; takes previews; login ppsadm@ui.it-perugia.example.org.",
        "IT-LECCE: not added: lacks PPS_PLATFORM, PPS_SSH_HOST,",
        "SARA: GOCDB no longer lists it; kept as it is (--prune closes it).",
        "1 further sites of GOCDB have no PPS_ extension",
        "Problem: A site without a usable name was left out: SHORT_NAME '$(reboot)'",
        "3 changes and 1 new sites. Nothing was written; --apply does it.",
    ):
        assert sentence in out, sentence
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.glob("*sites*")) == ["sites.yaml"]


def test_applied_twice_is_applied_once(front: Front, files: list[str]) -> None:
    assert "3 changes and 1 new sites written; the old file is sites.yaml.bak" in pps(front, *files, "--apply")[1]
    sites = registry(front).sites
    assert sites["CNAF"].certification == "Suspended"
    assert sites["PIC"].partner_levels == {"Gold"}
    assert sites["PIC"].canary
    assert sites["IT-PERUGIA"].ssh.port == 2222
    before = (registry(front).folder / "sites.yaml").stat()
    again = pps(front, *files, "--apply")
    assert "says the same as GOCDB; nothing to change" in again[1]
    assert (registry(front).folder / "sites.yaml").stat().st_mtime_ns == before.st_mtime_ns
    assert as_json(front, *files, "--apply")["applied"] is False


def test_where_a_site_is_comes_from_gocdb_once_and_is_shown(front: Front, tmp_path: Path) -> None:
    path = tmp_path / "get_site.xml"
    there = {"LATITUDE": "41,50", "LONGITUDE": " -2.1"}
    records = (
        listed("PIC", (("PPS_CPUS", "5000"),), **there),
        listed("CNAF", LATITUDE="44.5", LONGITUDE="east", ROC="South"),
        listed("SARA", LATITUDE="0", LONGITUDE="0"),
    )
    path.write_text(gocdb.document(*records))
    code, out, _ = pps(front, str(path), "--apply")
    assert code == 0
    assert "PIC: cpus none -> 5000. PIC: latitude none -> 41.5. PIC: longitude none -> -2.1." in out
    assert "Problem: CNAF: LONGITUDE is 'east'; a longitude is a decimal number of degrees" in out
    assert "4 changes and 0 new sites written" in out
    sites = registry(front).sites
    assert [(s.place, s.cpus) for s in sites.values()] == [((41.5, -2.1), 5000), (None, None), (None, None)]
    assert sites["CNAF"].roc == "South"
    path.write_text(path.read_text().replace("41,50", "41.500"))
    assert "says the same as GOCDB; nothing to change" in pps(front, str(path), "--apply")[1]

    def shown(*words: str) -> str:
        fresh = replace(front, services=replace(front.services, config=registry(front), given={}))
        return " ".join(CliRunner().invoke(app, ["sites", *words], obj=fresh).stdout.split())

    assert "place 41.5 N, 2.1 W CPUs 5000" in shown("show", "PIC")
    assert "place - CPUs -" in shown("show", "SARA")
    assert "3 sites, 2 of them without a place on the map." in shown("list")
    assert "debian12-amd64 5000 canary" in shown("list")
    assert "Listed beside the map, since latitude and longitude are missing: CNAF, SARA." in shown("check")
    assert json.loads(shown("check", "--json"))["without_place"] == ["CNAF", "SARA"]
    assert json.loads(shown("list", "--json"))[0]["latitude"] == 41.5


def test_a_suspended_site_is_left_out_of_the_next_rollout_with_gocdbs_state(front: Front, files: list[str]) -> None:
    pps(front, *files, "--apply")
    fresh = replace(front, services=replace(front.services, config=registry(front)))
    fresh.__dict__["airflow"] = front.airflow
    result = CliRunner().invoke(app, ["rollout", "start", "4711", "--dry-run", "--json"], obj=fresh)
    assert "CNAF has the status Suspended in GOCDB" in result.stdout


def test_a_site_that_is_no_longer_listed_is_closed_with_prune(front: Front, files: list[str]) -> None:
    said = as_json(front, *files, "--prune", "--apply")
    assert said["no_longer_listed"] == ["SARA"]
    assert registry(front).sites["SARA"].certification == "Closed"
    assert as_json(front, *files, "--prune")["no_longer_listed"] == []


def test_the_listing_can_come_over_http_and_then_host_keys_are_to_be_confirmed(
    front: Front,
    http_folder: HttpFolder,
) -> None:
    (http_folder.folder / "s.xml").write_text(SITES)
    said = as_json(front, http_folder.url + "/s.xml")
    assert [entry["name"] for entry in said["added"]] == ["IT-PERUGIA"]
    assert "plain HTTP" in said["notes"][0]


def test_a_hostile_listing_is_one_error_line(front: Front, tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text('<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><results>&x;</results>')
    code, out, err = pps(front, str(tmp_path / "x.xml"), "--apply")
    assert (code, out) == (1, "")
    assert "document type declaration or entities" in err
    assert "root:" not in err


def test_a_registry_that_is_broken_is_not_imported_into(front: Front, files: list[str]) -> None:
    (front.services.config.folder / "sites.yaml").write_text("sites: [{name: X}]\n")
    code, _, err = pps(front, *files, "--apply")
    assert code == 1
    assert "sites.X.roc: is missing" in err


def test_a_terminal_never_sees_control_characters_of_gocdb(front: Front, tmp_path: Path) -> None:
    sneaky = listed("PIC", (("PPS_\u202eX\u009b31m", "1"), ("PPS_PREVIEWS", "\u202eon")), ROC="\u009b2J")
    (tmp_path / "x.xml").write_text(gocdb.document(sneaky))
    _, out, _ = pps(front, str(tmp_path / "x.xml"))
    assert not set(out) & set("\u202e\u009b")


def test_a_hundred_sites_are_added_at_once_and_all_are_valid(front: Front, tmp_path: Path) -> None:
    names = [f"SITE-{n:02}" for n in range(100)]
    (tmp_path / "x.xml").write_text(gocdb.document(*(listed(name, gocdb.USABLE) for name in names)))
    write_config(front.services.config.folder, [site("PIC")])
    assert len(as_json(front, str(tmp_path / "x.xml"), "--apply")["added"]) == 100
    assert [*registry(front).sites] == ["PIC", *names]
    assert not list(front.services.config.folder.glob(".*"))
