"""The pages in a real browser: at a desk and on a phone, by day and by night, without script, with hostile texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.bad_input import HTML
from tests.support.browser import Browser, browser  # noqa: F401
from tests.support.front import (  # noqa: F401
    ROLLOUT,
    MemoryServices,
    a_preview_that_is_out,
    happened,
    services,
    site,
    write_config,
)
from tests.support.web_server import served
from tests.unit.web.test_api import ticking

from pps.domain.record.facts import FactKind
from pps.web.app import create_app

pytestmark = pytest.mark.needs("browser")

PAGES = (
    "home",
    "map",
    "map?view=gridmap",
    "map?view=table",
    "bulletin",
    f"bulletin/{ROLLOUT}.html",
    "bulletin/sites.html",
    "sites/PIC",
    f"feedback/{ROLLOUT}",
    f"rollouts/{ROLLOUT}",
    "nowhere",
)


@pytest.fixture
def address(services: MemoryServices) -> Iterator[str]:
    """All pages under /pps; two sites are on the map, one has no place."""
    sites = [
        site("PIC", latitude=41.4, longitude=2.2, cpus=900),
        site("CNAF", latitude=44.5, longitude=11.3, cpus=4000),
        site("SARA", accepts_previews=False),
    ]
    services = replace(services, config=write_config(services.config.folder, sites))
    a_preview_that_is_out(services.facts)
    with served({"/pps": create_app(lambda: services, signed_in, ticking())}) as url:
        yield f"{url}/pps"


def signed_in() -> Any:
    """Somebody with a role: what only they see is looked at, too."""
    return SimpleNamespace(get_name=lambda: "ada", get_id=lambda: 1, roles=[SimpleNamespace(name="Viewer")])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_the_screen_and_hides_nothing_from_those_who_cannot_see_it(
    browser: Browser, address: str, width: int, dark: bool
) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.call("Emulation.setEmulatedMedia", features=[scheme])
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text()
    for page in PAGES:
        browser.complaints.clear()
        browser.open(f"{address}/{page}")
        assert browser.js("document.documentElement.scrollWidth <= innerWidth"), page
        assert browser.js("getComputedStyle(document.querySelector('.band')).color") in (
            "rgb(255, 255, 255)",
            "rgb(242, 246, 250)",
        ), page
        assert [c for c in browser.complaints if "404" not in c] == [], page
        browser.js(axe)
        found = browser.call(
            "Runtime.evaluate",
            expression="axe.run().then(r => JSON.stringify(r.violations.map(v => [v.impact, v.id, v.nodes[0].html])))",
            awaitPromise=True,
            returnByValue=True,
        )["result"]["value"]
        assert [v for v in json.loads(found) if v[0] in ("serious", "critical")] == [], page


@pytest.mark.sd("4.1.1", step=5)
def test_the_map_follows_the_facts_while_it_is_open_and_the_focus_stays(
    browser: Browser, address: str, services: MemoryServices
) -> None:
    browser.open(f"{address}/map")
    assert browser.js("document.querySelectorAll('use.dot').length") == 2
    browser.js("document.querySelector('a[href=\"sites/PIC\"]').focus()")
    services.facts.record(happened(FactKind.PREVIEW_LOST, "PIC", "x", after=9, reason="gone"))
    browser.js("document.dispatchEvent(new Event('visibilitychange'))")  # a look now instead of in ten seconds
    browser.wait(lambda: browser.js("document.querySelector('a[href=\"sites/PIC\"] use.f-lost') !== null"))
    assert "lost" in browser.js("document.querySelector('.legend').textContent")
    assert browser.js("document.activeElement.getAttribute('href')") == "sites/PIC"


def test_a_server_that_is_away_is_said(browser: Browser, address: str) -> None:
    browser.open(f"{address}/map")
    browser.call("Network.enable")
    browser.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    browser.js("document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait(lambda: "may be old" in browser.js("document.querySelector('[data-age]').textContent"))


def test_every_page_is_whole_without_script(browser: Browser, address: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    for page, part in (
        ("home", "glite-WN 3.1.23"),
        ("map", "Elsewhere"),
        ("map?view=table", "PIC"),
        ("bulletin", "JDL"),
    ):
        browser.open(f"{address}/{page}")
        assert part in browser.js("document.body.textContent")
    browser.open(f"{address}/map?view=table")
    browser.js("document.querySelector('[name=state]').value = 'available'")
    browser.js("document.querySelector('.filters button').click()")
    browser.wait(lambda: "state=available" in browser.js("location.href"))
    assert browser.js("[...document.querySelectorAll('tbody th')].map(c => c.textContent)") == ["CNAF", "PIC"]


def test_the_keyboard_reaches_every_site_of_the_map(browser: Browser, address: str) -> None:
    browser.open(f"{address}/map")
    seen = []
    for _ in range(40):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        seen.append(browser.js("document.activeElement.getAttribute('href') || document.activeElement.name"))
    for wanted in ("./home", "preview", "state", "map?view=table", "sites/PIC", "sites/CNAF"):
        assert wanted in seen, seen


def test_no_hostile_text_becomes_a_script_on_any_page(browser: Browser, address: str, services: MemoryServices) -> None:
    everything = " ".join(HTML)
    opened = services.facts.facts[0]
    payload = {**opened.payload, "title": everything, "version": "<img src=x onerror=alert(1)>"}
    services.facts.facts[0] = replace(opened, payload=payload)
    services.facts.record(
        happened(FactKind.SITE_FAILED, "CNAF", "x", after=9, reason=everything),
        happened(FactKind.WITHDRAWAL_ASKED, after=10, reason=everything),
    )
    for page in PAGES:
        browser.open(f"{address}/{page}")
        assert browser.js("document.querySelectorAll('img, iframe, object, style').length") == 0, page
    assert browser.dialogs == []
