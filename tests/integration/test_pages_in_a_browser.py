"""The pages in a real browser: at a desk and on a phone, by day and by night, without script, with hostile texts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from fastapi import HTTPException
from tests.support.bad_input import HTML
from tests.support.browser import Browser, browser  # noqa: F401
from tests.support.desks import at_office
from tests.support.examples import sqlite_store
from tests.support.front import (  # noqa: F401
    NOW,
    ROLLOUT,
    SECRET,
    MemoryServices,
    a_preview_that_is_out,
    happened,
    services,
    site,
    write_config,
)
from tests.support.pilots import MAJOR, APilot
from tests.support.submitting import record_refused_release
from tests.support.web_server import served
from tests.unit.web.test_api import ticking
from tests.unit.web.test_pilots import running

from pps.activities.people.following import RECORD, end_token
from pps.activities.ports.record import OpenRollout
from pps.activities.quality import reviews
from pps.activities.quality.measures import Ledger
from pps.activities.quality.reviews import Speaker
from pps.domain.people.following import Kind, Thing
from pps.domain.record.facts import Fact, FactKind
from pps.web.app import create_app

pytestmark = pytest.mark.needs("browser")

PILOT = "major-pilot-4711-1"
PAGES = (
    "home",
    "map",
    "map?view=gridmap",
    "map?view=table",
    "bulletin",
    f"bulletin/{ROLLOUT}.html",
    "bulletin/sites.html",
    "sites/PIC",
    "sites/PIC/work",
    f"rollouts/{PILOT}",
    f"feedback/{ROLLOUT}",
    f"rollouts/{ROLLOUT}",
    f"rollouts/{ROLLOUT}/feedback",
    "patches/4711",
    "patches/4711?at=2026-03-01T12:03Z",
    "tasks",
    "tasks/dag/run/task/3",
    "credits?by=site",
    "credits?show=list",
    "following?patch=4711",
    f"following/end/{end_token(SECRET, 'ada', Thing(Kind.PATCH, '4711'))}",
    "api",
    "provider",
    "provider/adopters",
    "provider/submit",
    "provider/submit?release=glite-WN/3.1.24",
    "provider/glite-WN/3.1.24",
    "nowhere",
    "quality",
    "quality/glite-WN",
    "quality/glite-WN/releases/4711",
    "quality/glite-WN/reviews/1",
    "health",
    "exposure/CVE-2026-12345",
    "exposure/CVE-2020-1111",
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
    services.facts.record(
        happened(FactKind.CREDITED, "PIC", "x", activity="release-test", credits=1, site="PIC", roc="North"),
        Fact(RECORD, FactKind.FOLLOWED, "ada", "patch:4711/1", NOW, "user ada", {"what": "patch:4711", "to": ""}),
    )
    pilot = running(APilot(MAJOR, sqlite_store(), vo="cms").accepted().ranked())
    pilot.then(FactKind.JOURNAL_ENTRY, "PIC", "x", text="**Fine.** " + " ".join(HTML), user="ana")
    services.facts.register.append(OpenRollout(pilot.name, "major-pilot", 4711, NOW, None))
    services.facts.record(*pilot.record.facts)
    closes = {"cves": [["CVE-2026-12345", "critical"]], "metapackage": "glite-WN", "version": "3.1.23"}
    services.facts.record(Fact("patch-4711", FactKind.ADVICE_SEEN, "", "1", NOW, "pps", closes))
    in_parts = {"opinion": "works", "text": "*Fine.*", "invited": True, "bugs": {"101": "not fixed"}}
    services.facts.record(happened(FactKind.FEEDBACK_GIVEN, "cms", "a1", **in_parts))
    record_refused_release(services.facts, " ".join(HTML))
    reviewed(services)
    with served({"/pps": create_app(lambda: services, signed_in, ticking(), airflow=one_question)}) as url:
        yield f"{url}/pps"


def reviewed(services: MemoryServices) -> None:
    """A product with a target, an action that is overdue, and a review; all with hostile texts."""
    text, manager = "Said in three words. " + " ".join(HTML), Speaker("ada", {"role:Release Manager"}, ())
    before = at_office(services.facts, now=NOW - timedelta(days=9))
    reviews.set_target(before, "glite-WN", "time-to-preview", 2.5, text, manager)
    reviews.agree_action(before, "glite-WN", text, "ada", (NOW - timedelta(days=8)).date(), manager)
    releases = Ledger(lambda: services.facts).of_product("glite-WN")
    reviews.hold_review(at_office(services.facts, now=NOW), "glite-WN", text, releases, manager)


def signed_in() -> Any:
    """Somebody in charge: what only they see is looked at, too."""
    roles = [SimpleNamespace(name=role) for role in ("Release Manager", "PPS Coordinator")]
    return SimpleNamespace(get_name=lambda: "ada", get_id=lambda: 1, roles=roles)


async def one_question(request: Any, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Airflow with a question that has every kind of field."""
    text = {"type": ["null", "string"], "format": "multiline", "title": "Problems"}
    fields = {
        "problems": {"value": None, "schema": text, "description": "What did not work. " + " ".join(HTML)},
        "line": {"value": " ".join(HTML), "schema": {"type": "string"}},
        "ready": {"value": True, "schema": {"type": "boolean", "title": "All is ready"}},
        "which": {"value": "b", "schema": {"type": "string", "enum": ["a", "b"]}},
    }
    return {
        "subject": "configure",
        "body": "Configure **the client**. " + " ".join(HTML),
        "options": ["Configured", "Not here"],
        "params": fields,
        "assigned_users": [{"id": "user:ada", "name": "ada"}],
        "response_received": False,
    }


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


def test_every_page_fits_a4_on_paper_without_what_only_a_screen_can_use(browser: Browser, address: str) -> None:
    # A4 without its margins; a table that is wider would be cut
    browser.call("Emulation.setDeviceMetricsOverride", width=680, height=1000, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", media="print")
    for page in PAGES:
        browser.open(f"{address}/{page}")
        wide = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        assert browser.js(f"{wide}.map(e => e.outerHTML.slice(0, 90))") == [], page
        shown = "[...document.querySelectorAll('button, nav, .switch')].filter(e => e.getClientRects().length)"
        assert browser.js(f"{shown}.map(e => e.outerHTML.slice(0, 90))") == [], page


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


def test_home_shows_what_waits_for_whoever_has_signed_in_and_complains_of_nobody_who_has_not(
    browser: Browser, address: str, services: MemoryServices
) -> None:
    due, link = "2026-03-02T12:00:00+00:00", "https://pps.example.org/pps/tasks/d/r/t/3"
    asked = {"due": due, "title": "Configure <b>it</b>", "assigned_to": ["user:ada"], "link": link}
    services.facts.record(happened(FactKind.QUESTION_ASKED, "PIC", "local-configuration", **asked))
    part = "document.querySelector('[data-part]').textContent"
    browser.open(f"{address}/home")
    browser.wait(lambda: "1 question waits for your answer" in browser.js(part))
    assert "Mon 2 Mar 2026, 12:00 UTC" in browser.js(part) and "Configure <b>it</b>" in browser.js(part)
    assert browser.js("document.querySelector('[data-part] dd a').pathname") == "/pps/tasks/d/r/t/3"

    async def nobody() -> Any:
        raise HTTPException(401, "Not signed in.")

    with served({"/pps": create_app(lambda: services, nobody, ticking())}) as url:
        browser.complaints.clear()
        browser.open(f"{url}/pps/home")
        browser.wait(
            lambda: browser.js("performance.getEntriesByType('resource').some(e => e.name.endsWith('waiting'))")
        )
        assert "once you have signed in" in browser.js(part)
        assert browser.complaints == []


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


def test_a_finger_that_could_mean_several_sites_is_asked_which(browser: Browser, services: MemoryServices) -> None:
    places = {"PIC": (41.4, 2.2), "IFAE": (41.5, 2.1), "CNAF": (44.5, 11.3)}
    sites = [site(name, latitude=north, longitude=east) for name, (north, east) in places.items()]
    services = replace(services, config=write_config(services.config.folder, sites))
    a_preview_that_is_out(services.facts)
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=True)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    middle = "document.querySelector('.maps a[href=\"sites/%s\"]').getBoundingClientRect()"

    def touch(name: str) -> None:
        browser.js(f"document.querySelector('.maps a[href=\"sites/{name}\"]').scrollIntoView({{block: 'center'}})")
        box = browser.js(f"(({{x, y, width, height}}) => ({{x: x + width / 2, y: y + height / 2}}))({middle % name})")
        browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[box])
        browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    with served({"/pps": create_app(lambda: services, signed_in, ticking())}) as url:
        browser.open(f"{url}/pps/map")
        touch("PIC")
        browser.wait(lambda: browser.js("document.querySelectorAll('.touched a').length") == 2)
        lines = browser.js(
            "[...document.querySelectorAll('.touched a')].map((a) => [a.href, a.textContent, a.offsetHeight])"
        )
        assert [line[0] for line in lines] == [f"{url}/pps/sites/PIC", f"{url}/pps/sites/IFAE"]
        assert lines[0][1].startswith("PIC: ")
        assert min(line[2] for line in lines) >= 44
        touch("CNAF")
        browser.wait(lambda: browser.js("location.pathname") == "/pps/sites/CNAF")


@pytest.mark.sd("4.1.1", step=5)
def test_three_hundred_sites_and_twenty_versions_fit_the_screen_and_the_wire(
    browser: Browser, services: MemoryServices
) -> None:
    dice = random.Random(5)
    cities = [(dice.uniform(36, 60), dice.uniform(-9, 30)) for _ in range(63)]
    names = [f"SITE-{number:03}" for number in range(300)]
    places = [{"latitude": cities[n % 63][0], "longitude": cities[n % 63][1]} for n in range(300)]
    sites = [site(name, roc=f"ROC-{n % 11}", cpus=10 + n * n, **places[n]) for n, name in enumerate(names)]
    services = replace(services, config=write_config(services.config.folder, sites))
    a_preview_that_is_out(services.facts)
    first = list(services.facts.facts)
    for number in range(20):
        name = f"bc-client-{4800 + number}-1"
        services.facts.register.append(OpenRollout(name, "bc-client", 4800 + number, NOW, None))
        opened = [replace(f, rollout=name) for f in first if not f.subject and f.kind is not FactKind.PLAN_AGREED]
        opened[0] = replace(opened[0], payload={**first[0].payload, "patch": 4800 + number, "version": f"3.2.{number}"})
        kinds = (FactKind.TAG_SEEN, FactKind.SITE_FAILED, FactKind.PREVIEW_INSTALLED, FactKind.PREVIEW_LOST)
        plan = replace(
            happened(FactKind.PLAN_AGREED, batches={"canary": names[:5], "fleet-1": names[5:]}), rollout=name
        )
        reached = [replace(happened(dice.choice(kinds), one, "x", reason="no answer"), rollout=name) for one in names]
        services.facts.facts += [*opened, plan, *reached]
    pages = ("home", "map", "map?view=gridmap", "map?view=table", "bulletin", "rollouts/bc-client-4800-1")
    with served({"/pps": create_app(lambda: services, signed_in, ticking())}) as url:
        for page in pages:
            packed = requests.get(f"{url}/pps/{page}", timeout=60, stream=True)
            assert len(packed.raw.read()) < 150_000, page
            for width in (390, 1280):
                size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                browser.call("Emulation.setDeviceMetricsOverride", **size)
                browser.open(f"{url}/pps/{page}")
                assert browser.js("document.documentElement.scrollWidth <= innerWidth"), (page, width)
        browser.open(f"{url}/pps/map")
        assert browser.js("document.querySelectorAll('use.dot').length") >= 300
        browser.open(f"{url}/pps/home")
        assert browser.js("document.querySelectorAll('a.small-map use.dot').length") > 250  # those in Europe
        assert browser.js("document.querySelector('a.small-map').getAttribute('href')") == "map"


def test_no_hostile_text_becomes_a_script_on_any_page(browser: Browser, address: str, services: MemoryServices) -> None:
    everything = " ".join(HTML)
    opened = services.facts.facts[0]
    payload = {**opened.payload, "title": everything, "version": "<img src=x onerror=alert(1)>"}
    services.facts.facts[0] = replace(opened, payload=payload)
    services.facts.record(
        happened(FactKind.SITE_FAILED, "CNAF", "x", after=9, reason=everything),
        happened(FactKind.WITHDRAWAL_ASKED, after=10, reason=everything),
        happened(FactKind.CREDITED, everything, "x", activity=everything, credits=1, site=everything, roc=everything),
    )
    for page in PAGES:
        browser.open(f"{address}/{page}")
        assert browser.js("document.querySelectorAll('img, iframe, object, style').length") == 0, page
    assert browser.dialogs == []
