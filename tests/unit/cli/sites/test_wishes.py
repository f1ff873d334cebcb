"""`pps sites window|pin|opt-out`: from the command line through the web's door into the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.support.examples import NOW, previewed, templates
from tests.support.front import front, services, site, write_config  # noqa: F401
from tests.unit.cli.pilots.test_pilot_doors import Through
from tests.unit.cli.test_commands import as_json, one_line, pps
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store

from pps.adapters.record.store import FactStore
from pps.cli.front import Front
from pps.cli.sites.wishes import _days
from pps.domain.record.wishes import RECORD
from pps.web.app import create_app

WINDOW = ("sites", "window", "PIC", "--days", "mon-fri", "--from", "22:00", "--to", "06:00")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FactStore]:
    made = shared_store(tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def airflow(front: Front, store: FactStore) -> Through:
    sites = [site("PIC", administrators=["ana"], timezone="Europe/Madrid"), site("INFN-T1", administrators=["bob"])]
    write_config(front.services.config.folder, sites)
    front.services.config.__dict__.pop("sites", None)
    front.services.__dict__.update({"facts": store, "templates": templates()})
    front.now = lambda: NOW
    app = create_app(lambda: front.services, airflow_user, Clock(NOW))
    made = Through(web=TestClient(app, base_url="https://pps.example.org"), who="ana:Site Administrator")
    front.__dict__["airflow"] = made
    return made


def test_a_window_is_tried_set_shown_and_taken_back(front: Front, store: FactStore, airflow: Through) -> None:
    code, out, _ = pps(front, *WINDOW, "--dry-run")
    assert (code, "its window opens on Mon 1 Dec 2025, 22:00" in one_line(out)) == (0, True)
    assert "nothing was put on record" in out
    assert store.standing([RECORD])[RECORD].facts == ()
    assert "Mon to Fri, 22:00 to 06:00 of the next day (Europe/Madrid); closed now" in one_line(pps(front, *WINDOW)[1])
    assert "It is so already." in pps(front, *WINDOW)[1]
    out = one_line(pps(front, "sites", "wishes", "PIC")[1])
    assert "closed now" in out and "2025-12-01 21:00 UTC" in out and "The window opens" in out
    (night,) = as_json(front, "sites", "wishes", "PIC")["wishes"]["windows"]["each"]
    assert night["days"] == ["mon", "tue", "wed", "thu", "fri"]
    weekend = ("sites", "window", "PIC", "--days", "sat,sun", "--from", "00:00", "--to", "00:00")
    assert "06:00 of the next day Sat, Sun, all day (Europe/Madrid)" in one_line(pps(front, *weekend, "--add")[1])
    assert "Fri" not in pps(front, *WINDOW, "--lift")[1]
    assert "at any time" in pps(front, "sites", "window", "PIC", "--none")[1]


def test_pins_and_opt_outs_say_what_follows_from_them(front: Front, store: FactStore, airflow: Through) -> None:
    previewed(store)
    why = ("--reason", "It breaks our batch system.")
    out = pps(front, "sites", "pin", "PIC", "glite-WN", "3.1.23", *why)[1]
    assert "glite-WN 3.1.23: It breaks our batch system." in one_line(out)
    assert "glite-WN 3.1.23 lies there, and is left." in out
    assert "comes, with the next night or window" in pps(front, "sites", "unpin", "PIC", "glite-WN", "3.1.23")[1]
    assert "opted out: We move our machines." in one_line(
        pps(front, "sites", "opt-out", "PIC", "--reason", "We move our machines")[1]
    )
    assert "not opted out" in pps(front, "sites", "opt-in", "PIC")[1]


def test_nobody_speaks_for_another_site_and_what_is_wrong_is_said(front: Front, airflow: Through) -> None:
    for words, why in (
        (("sites", "opt-out", "INFN-T1", "--reason", "They asked me to."), "Only the administrators of INFN-T1"),
        ((*WINDOW[:-1], "22:10"), "less than an hour"),
        (("sites", "window", "PIC", "--days", "mon,someday", "--from", "01:00", "--to", "02:00"), "someday: no day"),
        (("sites", "opt-in", "PIC"), "nothing to lift"),
        (("sites", "wishes", "NOWHERE"), "no such site"),
    ):
        code, _, err = pps(front, *words)
        assert (code, why in one_line(err)) == (1, True), (words, err)
    assert pps(front, "sites", "window", "PIC")[0] == 2
    for wrong in (("--none",), ("--add", "--lift")):
        assert pps(front, *WINDOW, *wrong)[0] == 2
    assert pps(front, "sites", "window", "PIC", "--none", "--add")[0] == 2


@pytest.mark.parametrize(
    ("text", "days"),
    [("mon-wed", "mon tue wed"), ("sat,sun", "sat sun"), ("fri-mon", "fri sat sun mon"), ("Mon, x-y", "mon x-y")],
)
def test_days_are_written_as_people_write_them(text: str, days: str) -> None:
    assert _days(text) == days.split()


def test_the_plan_names_sites_that_would_be_put_off_or_left_out(
    front: Front, store: FactStore, airflow: Through
) -> None:
    pps(front, *WINDOW)
    airflow.who = "bob:Site Administrator"
    pps(front, "sites", "pin", "INFN-T1", "glite-WN", "--reason", "We run our own.")
    code, out, _ = pps(front, "rollout", "start", "4711", "--dry-run")
    assert code == 1, "the only site that takes it is closed now"
    assert "INFN-T1 does not want glite-WN, in any version: We run our own." in one_line(out)
    assert "its window opens on" in one_line(out)
    assert "No site may be written at now, so none can be the first." in one_line(out)
