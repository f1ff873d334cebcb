"""The feedback form as a VO's user meets it: a link in a mail, a browser without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.bad_input import HTML
from tests.support.browser import Browser, browser  # noqa: F401
from tests.support.front import ROLLOUT, SECRET, MemoryServices, a_preview_that_is_out, services  # noqa: F401
from tests.support.web_server import served
from tests.unit.web.test_api import airflow_user, ticking

from pps.activities.people.tokens import invitation_token
from pps.domain.people.feedback import answers
from pps.web.app import create_app


@pytest.fixture
def address(services: MemoryServices, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The application under /pps, as Airflow mounts it; nobody is too fast for it."""
    monkeypatch.setattr("pps.web.feedback.ANSWERS_AT_ONCE", 1000)
    a_preview_that_is_out(services.facts)
    with served({"/pps": create_app(lambda: services, airflow_user, ticking())}) as url:
        yield f"{url}/pps"


@pytest.mark.needs("browser")
@pytest.mark.sd("4.1.1")
def test_the_form_is_filled_in_and_sent_without_scripts(
    browser: Browser, address: str, services: MemoryServices
) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    token = invitation_token(SECRET, ROLLOUT, "atlas")
    browser.open(f"{address}/feedback/{ROLLOUT}?vo=atlas&token={token}")
    browser.js("document.querySelector('[value=problem]').click()")
    browser.js("document.getElementById('text').value = 'gfal-ls hangs\\nat PIC'")
    browser.js("document.querySelector('[type=submit]').click()")
    browser.wait(lambda: browser.js("document.title") == "Thank you")
    (answer,) = answers(services.facts.rollout(ROLLOUT))
    assert (answer.vo, answer.opinion, answer.text, answer.invited) == (
        "atlas",
        "problem",
        "gfal-ls hangs\nat PIC",
        True,
    )
    # a policy that forbids the stylesheet would leave a page without it
    assert browser.js("getComputedStyle(document.querySelector('.narrow')).maxWidth") == "704px"
    assert browser.complaints == []


@pytest.mark.needs("browser")
def test_no_text_becomes_a_script(browser: Browser, address: str) -> None:
    for text in HTML:
        browser.open(f"{address}/feedback/{ROLLOUT}")
        browser.js("document.forms[0].noValidate = true")
        for field in ("vo", "text", "author", "token"):
            browser.js(f"document.forms[0].elements.{field}.value = {text!r}")
        browser.js("document.querySelector('[value=works]').click()")
        before = browser.js("performance.timeOrigin")
        browser.js("document.querySelector('[type=submit]').click()")
        browser.wait(
            lambda before=before: (
                browser.js("performance.timeOrigin") != before and browser.js("document.readyState") == "complete"
            )
        )
        assert browser.js("document.forms[0].elements.author.value") == text
    assert browser.dialogs == []


@pytest.mark.needs("browser")
def test_preview_change_and_withdrawal_need_no_scripts(
    browser: Browser, address: str, services: MemoryServices
) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    token = invitation_token(SECRET, ROLLOUT, "atlas")
    form = f"{address}/feedback/{ROLLOUT}?vo=atlas&token={token}"

    def click(button: str, until: str) -> None:
        browser.js(f"[...document.querySelectorAll('button')].find(b => b.textContent == {button!r}).click()")
        browser.wait(lambda: browser.js(f"document.readyState == 'complete' && {until}"))

    browser.open(form)
    browser.js("document.getElementById('text').value = 'It *hangs*.'")
    browser.js("document.querySelector('[name=bug-101][value=\"not fixed\"]').click()")
    click("Preview", "document.getElementById('preview') != null")
    assert browser.js("document.querySelector('section .md').innerHTML") == "<p>It <em>hangs</em>.</p>"
    assert browser.js("document.querySelector('[name=bug-101]:checked').value") == "not fixed"
    browser.js("document.querySelector('[value=works]').click()")
    click("Send feedback", "document.title == 'Thank you'")
    browser.open(form)
    assert browser.js("document.getElementById('text').value") == "It *hangs*."
    click("Withdraw the answer", "document.title == 'Withdrawn'")
    (answer,) = answers(services.facts.rollout(ROLLOUT))
    assert (answer.words, answer.withdrawn_at is not None) == ("works as a whole; bug 101 not fixed", True)
    assert browser.complaints == []
