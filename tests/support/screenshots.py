"""Draws the pictures of docs/pictures anew: `make screenshots`.

A grid of 30 sites and a real Airflow, a patch on its way, two VOs that have answered; then each page in a browser.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.browser import Browser, opened
from tests.support.whole import Grid

from pps.domain.people.feedback import answers
from pps.domain.record.facts import FactKind
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo.play import answer_invitation

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
#: File -> (page below /pps/, width, height, dark).
_PICTURES = {
    "map": ("map", 1280, 860, False),
    "map-on-a-phone": ("map", 390, 780, True),
    "rollout": ("rollouts/{rollout}", 1280, 1000, False),
    "patch": ("patches/{patch}", 1280, 860, False),
    "bulletin": ("bulletin", 1280, 860, True),
    "feedback": ("feedback/{rollout}", 1280, 1000, False),
}


def main() -> None:
    """Play it, and take the pictures."""
    with tempfile.TemporaryDirectory(prefix="pps-pictures-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with Installation(folder / "installation", sites=30) as installation:
            grid = Grid(installation, folder)
            say("Airflow and a grid are up; a patch goes to its sites ...")
            patch = grid.offers(4711, "3.1.23")
            rollout = grid.start(patch.number, feedback_until=(datetime.now(UTC) + timedelta(days=14)).isoformat())
            grid.waits_for_fact(rollout, FactKind.VO_INVITED)
            for vo, opinion, text in (
                ("atlas", "works", "Production and analysis jobs at seven sites; nothing was lost."),
                ("lhcb", "comment", "It works. The new option is not in the manual page."),
            ):
                grid.waits_for(f"invitation of {vo}", lambda v=vo, o=opinion, t=text: _answers(grid, v, o, t))
            grid.waits_for("both answers", lambda: len(answers(grid.rollout(rollout))) == 2)
            with opened(folder / "profile") as browser:
                sign_in(browser, installation)
                FOLDER.mkdir(exist_ok=True)
                for file, (page, width, height, dark) in _PICTURES.items():
                    place = page.format(rollout=rollout, patch=patch.number)
                    take(browser, f"{installation.url}/pps/{place}", FOLDER / f"{file}.webp", width, height, dark=dark)


def _answers(grid: Grid, vo: str, opinion: str, text: str) -> object:
    return answer_invitation(grid.mails, vo, opinion, text)


def sign_in(browser: Browser, installation: Installation) -> None:
    """As the Release Manager."""
    assert installation.airflow is not None
    token = installation.airflow.token("release-manager")
    browser.call("Network.enable")
    browser.call("Network.setCookie", name="_token", value=token, url=f"{installation.url}/", path="/")


def take(browser: Browser, url: str, to: Path, width: int, height: int, *, dark: bool) -> None:
    """One picture of a page."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.call("Emulation.setEmulatedMedia", features=[scheme])
    browser.call("Emulation.setScrollbarsHidden", hidden=True)
    browser.open(url)
    found = browser.call("Page.captureScreenshot", format="webp", quality=80)
    to.write_bytes(base64.b64decode(found["data"]))
    say(f"{to.relative_to(FOLDER.parents[1])}: {to.stat().st_size // 1000} kB")


def say(text: str) -> None:
    """To whoever waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
