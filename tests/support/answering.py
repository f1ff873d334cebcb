"""How people answer who do not write programs: at Airflow's own form, and with `pps`."""

from __future__ import annotations

from collections.abc import Mapping

from click.testing import Result
from tests.support.browser import Browser
from tests.support.whole import Grid
from typer.testing import CliRunner

from pps.cli.front import Front
from pps.cli.main import app


def pps(grid: Grid, user: str, *words: str) -> Result:
    """A command of `pps`, typed by this user somewhere."""
    login = {"PPS_AIRFLOW_USER": user, "PPS_AIRFLOW_PASSWORD": grid.as_user(user)._password, "COLUMNS": "400"}
    return CliRunner().invoke(app, list(words), obj=Front(grid.services, grid.client.url), env=login)


def as_options(fields: Mapping[str, str]) -> list[str]:
    return [word for name, text in fields.items() for word in ("--field", f"{name}={text}")]


class AirflowsForm:
    """The page of a question in Airflow, as a person who has signed in sees it."""

    def __init__(self, browser: Browser, grid: Grid, user: str, link: str) -> None:
        self.browser = browser
        token = grid.installation.airflow.token(user)  # type: ignore[union-attr]
        browser.call("Network.setCookie", name="_token", value=token, url=grid.client.url)
        browser.open(link)
        browser.wait(lambda: self.holds("version") is not None, 60)

    def says(self) -> str:
        return str(self.browser.js("document.body.innerText"))

    def holds(self, name: str) -> str | None:
        found: str | None = self.browser.js(f"document.querySelector('[name=element_{name}]')?.value")
        return found

    def types(self, name: str, text: str) -> None:
        # React hears of what is typed, not of what a script puts there
        self.browser.js(f"(e => {{ e.focus(); e.select() }})(document.querySelector('[name=element_{name}]'))")
        self.browser.call("Input.insertText", text=text)
        self.browser.wait(lambda: self.holds(name) == text)

    def answers(self, choice: str) -> None:
        self.browser.js(f"""document.querySelector('[data-testid="hitl-option-{choice}"]').click()""")

    def refusal(self) -> str | None:
        why: str | None = self.browser.js("document.getElementById('pps-not-taken')?.innerText")
        return why
