"""Where some sites verify themselves what they install, pages and data tell which do not (docs/kit.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.front import (  # noqa: F401
    ROLLOUT,
    MemoryServices,
    a_preview_that_is_out,
    services,
    site,
    write_config,
)
from tests.unit.web.test_api import airflow_user, ticking
from tests.unit.web.test_pages import Read

from pps.web.app import create_app

KITS = {"ssh": {"keys": ["root.1"], "current_key_file": "online"}}
PLACE = {"latitude": 44.5, "longitude": 11.3}


def web(services: MemoryServices, *sites: dict[str, Any], **more: object) -> TestClient:
    a_preview_that_is_out(services.facts)
    services = replace(services, config=write_config(services.config.folder, sites, **more))
    return TestClient(create_app(lambda: services, airflow_user, ticking()), base_url="https://pps.example.org")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/map", "CNAF: available, unverified"),
        ("/map?view=gridmap", "CNAF (North): available, unverified"),
        ("/map?view=table", "CNAF unverified"),
        (
            "/map",
            "Here 2 sites install only what two people have signed, each checking that itself; 1 site is unverified,",
        ),
        ("/bulletin/sites.html", "CNAF unverified"),
        (f"/bulletin/{ROLLOUT}.html", "CNAF unverified"),
        ("/sites/CNAF", "unverified: installs what we send"),
        ("/sites/PIC", "installs only what two people have signed, and checks that itself"),
    ],
)
def test_a_site_without_a_kit_is_marked_where_another_has_one(services: MemoryServices, path: str, words: str) -> None:
    sites = site("CNAF", **PLACE), site("PIC", kit="ssh", **PLACE), site("SARA", kit="ssh")
    assert words in Read(web(services, *sites, kits=KITS).get(path).text).words


def test_of_a_site_that_nobody_gets_into_that_is_said(services: MemoryServices) -> None:
    closed = site("PIC", kit="ssh", reached="pull")
    del closed["ssh"]
    anybody = web(services, site("CNAF"), closed, kits=KITS)
    assert (
        "checks that itself · fetches by itself and reports; nobody connects"
        in Read(anybody.get("/sites/PIC").text).words
    )
    assert "fetches by itself" not in Read(anybody.get("/sites/CNAF").text).words
    fetches = {s["site"]: s["fetches"] for s in anybody.get("/api/v1/map").json()["sites"]}
    assert (fetches["PIC"], fetches["CNAF"]) == (True, False)


def test_of_a_site_that_has_left_the_registry_nobody_says_that_it_checks_what_it_installs(
    services: MemoryServices,
) -> None:
    anybody = web(services, site("CNAF"), site("PIC", kit="ssh"), kits=KITS)  # SARA has left it
    words = Read(anybody.get("/map").text).words
    assert "Here 1 site installs only what two people have signed, each checking that itself; 1 site is unver" in words


def test_programs_are_told_which_sites_verify_themselves_what_they_install(services: MemoryServices) -> None:
    anybody = web(services, site("CNAF"), site("PIC", kit="ssh"), kits=KITS)
    on_map = {s["site"]: s["verified"] for s in anybody.get("/api/v1/map").json()["sites"]}
    in_bulletin = {s["site"]: s["verified"] for s in anybody.get("/bulletin.json").json()["rollouts"][0]["sites"]}
    # SARA has left the registry: nobody knows
    assert on_map == in_bulletin == {"CNAF": False, "PIC": True, "SARA": None}
    assert anybody.get("/api/v1/sites/PIC").json()["verified"] is True


@pytest.mark.parametrize("path", ["/map", "/map?view=table", "/bulletin/sites.html", "/sites/CNAF"])
def test_where_no_site_has_a_kit_there_is_nothing_to_tell_apart(services: MemoryServices, path: str) -> None:
    assert "unverified" not in web(services, site("CNAF", **PLACE), site("PIC")).get(path).text
