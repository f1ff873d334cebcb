"""Our pages in the frame of a real Airflow that is served below a path, in a real browser, signed in by its cookie."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.browser import Browser, browser  # noqa: F401
from tests.support.whole import Grid, far, grid  # noqa: F401

from pps.domain.clients.control import pause_of
from pps.domain.record.facts import FactKind

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh"), pytest.mark.needs("browser")]
FRAME = "document.querySelector('iframe')"


def sign_in(browser: Browser, grid: Grid, user: str) -> None:
    assert grid.installation.airflow is not None
    token = grid.installation.airflow.token(user)
    browser.call("Network.enable")
    browser.call("Network.setCookie", name="_token", value=token, url=f"{grid.installation.url}/", path="/")


def inside(browser: Browser, expression: str) -> Any:
    """The value of an expression in the page in Airflow's frame; None while there is none."""
    within = f"{FRAME} && {FRAME}.contentDocument"
    return browser.js(f"{within} && ((document) => ({expression}))({FRAME}.contentDocument)")


def says(browser: Browser, do: str, reason: str) -> None:
    """Type a reason and press a button, at once: what nobody has in focus, a page that renews itself takes away."""
    inside(
        browser,
        f"(document.querySelector('#reason').value = '{reason}',"
        f" document.querySelector('[name=do][value={do}]').click())",
    )


def test_operators_follow_a_rollout_from_airflows_menu_hold_it_and_go_back_to_its_run(
    browser: Browser, grid: Grid
) -> None:
    patch = grid.offers(4716, "3.1.28")
    name = run = grid.start(patch.number, feedback_until=far())
    grid.waits_for_fact(name, FactKind.GATE_PASSED)

    # the menu's page, below Airflow's path
    sign_in(browser, grid, "release-manager")
    browser.open(f"{grid.installation.url}/plugin/pps")
    browser.wait(lambda: "In preview now" in str(inside(browser, "document.body.textContent")), 60)
    inside(browser, "document.querySelector('a[href=\"./tasks\"]').click()")
    browser.wait(lambda: "My tasks" in str(inside(browser, "document.title")))

    # the tab of its run has the rollout, and its buttons
    browser.open(f"{grid.installation.url}/dags/bc_client_update/runs/{run}/plugin/rollout")
    browser.wait(lambda: inside(browser, "document.querySelector('[name=do][value=pause]') !== null"), 60)
    says(browser, "pause", "x")
    browser.wait(lambda: "three words" in str(inside(browser, "(document.querySelector('#why') || {}).textContent")))
    says(browser, "pause", "We look into the logs first.")
    browser.wait(lambda: inside(browser, "document.querySelector('.held') !== null"))
    assert pause_of(grid.rollout(name)) is not None
    says(browser, "resume", "They are all right now.")
    grid.waits_for("the rollout goes on", lambda: pause_of(grid.rollout(name)) is None)

    # a link to Airflow's own pages is followed by the page around ours, not within the frame
    again = "document.querySelector('[name=do][value=pause]') && document.documentElement.classList.contains('framed')"
    browser.wait(lambda: inside(browser, again))
    inside(browser, "document.querySelector('a[data-airflow]').click()")
    browser.wait(lambda: browser.js("location.pathname") == f"/grid/airflow/dags/bc_client_update/runs/{run}", 60)

    # the rollout is followed on the map to its end: what is at the sites appears while the page is open
    browser.complaints.clear()  # of Airflow's own pages
    browser.open(f"{grid.installation.url}/pps/map?view=table&preview={name}")
    browser.wait(lambda: browser.js("document.querySelectorAll('.s-available').length") >= 7, 180)
    done = grid.client.request(
        "POST", f"pps/rollouts/{name}", data={"do": "withdraw", "reason": "The trial of the pages is over."}
    )
    assert done.status_code == 303
    browser.wait(lambda: browser.js("document.querySelectorAll('.s-withdrawn').length") >= 7, 180)
    assert browser.complaints == []


def test_somebody_who_only_reads_sees_the_pages_and_nobody_in_particular_is_asked_to_sign_in(
    browser: Browser, grid: Grid
) -> None:
    browser.open(f"{grid.installation.url}/pps/tasks")
    assert "Sign in to Airflow again" in browser.js("document.body.textContent")
    browser.js("document.querySelector('a.go').click()")
    browser.wait(lambda: browser.js("document.querySelector('[name=password]') !== null"), 60)
    airflow = grid.installation.airflow
    assert airflow is not None
    for field, text in (("username", "emt"), ("password", airflow.password("emt"))):
        browser.js(f"document.querySelector('[name={field}]').value = {json.dumps(text)}")
    browser.js("document.querySelector('[name=password]').form.requestSubmit()")
    browser.wait(lambda: "What waits for emt" in str(browser.js("document.body && document.body.textContent")), 60)
    assert browser.js("location.pathname").endswith("/pps/tasks")
    browser.call("Network.enable")
    browser.call("Network.clearBrowserCookies")
    browser.open(f"{grid.installation.url}/pps/map")
    assert browser.js("document.querySelectorAll('a[href^=\"sites/\"]').length") > 0
    sign_in(browser, grid, "viewer")
    browser.open(f"{grid.installation.url}/plugin/pps")
    browser.wait(lambda: inside(browser, "document.querySelector('h1') !== null"), 60)
    assert inside(browser, "document.querySelector('h1').textContent") == "PPS Rollout"
