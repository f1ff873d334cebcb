"""The post-mortem report: pre-filled from what we saw, completed by the site's people, the same when written again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.bad_input import HTML, JINJA
from tests.support.desks import at_desk
from tests.support.examples import NOW, templates
from tests.support.pilot_runs import ANA, GOLD, INCIDENT, RUN_FOR, SUPPORT, APilot
from tests.support.snapshots import matches_snapshot

from pps.activities.pilots import journal as pilot_journal
from pps.activities.pilots import report as pilot_report
from pps.activities.pilots.report import REPORT, STEP, facts_of_report, report_view, write_report
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.services.markdown import as_html
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.people.questions import Given
from pps.domain.record.facts import FactKind
from pps.domain.sites.probes import ProbeState

PIC = GOLD["PIC"]
END = NOW + timedelta(hours=2) + RUN_FOR
SAID = {
    "set_up": None,
    "resources": "1.2 GiB of memory, 0.3 more than before.",
    "stability": "One restart, after the log filled the disk.",
    "issues": "Bug 31500: the log is not rotated.",
}


def eventful() -> APilot:
    """Five hours down, a short outage, an entry; then the agreed end."""
    pilot = APilot().set_up()
    for hours, state in ((2.5, 0), (10, 2), (11, 2), (15, 0), (20, 2), (20.2, 0)):
        pilot.answers("PIC", ProbeState(state)).look(hours)
    text = "Cleared /var, which was full."
    now = NOW + timedelta(hours=15)
    pilot_journal.log_entry(
        at_desk(pilot.record, pilot.store, templates=templates(), now=now), PIC, text, "ana", ANA, [SUPPORT]
    )
    assert pilot.look_at(END)
    return pilot


def report(pilot: APilot, **form: Any) -> APilot:
    pilot.fact(FactKind.QUESTION_ASKED, "PIC", STEP, 350, due=(END + timedelta(days=5)).isoformat(), to="", title="")
    answer = {"step": STEP, "choice": REPORT, "form": {**SAID, **form}, "user": "ana"}
    pilot.fact(FactKind.ANSWER_GIVEN, "PIC", f"{STEP}/1", 351, **answer)
    return pilot


def write(pilot: APilot, folder: Path, days: float = 1) -> str:
    return write_report(
        at_desk(
            pilot.record,
            pilot.store,
            templates=templates(),
            patch=pilot.patch,
            now=END + timedelta(days=days),
            actor="pps",
        ),
        PIC,
        PublishedFolder(folder),
        incident_after=INCIDENT,
    )


@pytest.mark.sd("4.1.3", step=9)
def test_it_is_pre_filled_from_probes_journal_and_facts() -> None:
    pilot = eventful()
    view = report_view(pilot.record, pilot.patch, PIC, {}, END, incident_after=INCIDENT)
    assert (view["down"], view["observed_until"]) == (timedelta(hours=5, minutes=12), END)
    # the probes stood still from the 3rd of the month on; what nobody saw is not called available
    assert view["unknown"] == timedelta(days=12, hours=11, minutes=30)
    assert view["availability"] == "85.7"
    assert [(o.lasted, o in view["incidents"]) for o in view["outages"]] == [
        (timedelta(hours=5), True),
        (timedelta(minutes=12), False),
    ]
    assert any("Cleared /var" in e.text for e in view["journal"])


@pytest.mark.sd("4.1.3", step=9)
def test_the_report_as_it_is_published(tmp_path: Path) -> None:
    pilot = report(eventful())
    digest = write(pilot, tmp_path)
    text = (tmp_path / "pilots/major-pilot-4711-1/PIC.txt").read_text()
    matches_snapshot("pilot_report.txt", text)
    assert "ana" not in text.split()
    assert "31500" in (tmp_path / "pilots/major-pilot-4711-1/PIC.html").read_text()
    assert write(pilot, tmp_path, days=3) == digest
    (fact,) = pilot.kinds(FactKind.REPORT_WRITTEN)
    assert (fact.subject, fact.payload["answered"]) == ("PIC", True)


def test_silence_of_the_site_is_said(tmp_path: Path) -> None:
    pilot = eventful()
    write(pilot, tmp_path)
    text = (tmp_path / "pilots/major-pilot-4711-1/PIC.txt").read_text()
    assert "Nothing came from PIC in time" in text
    (fact,) = pilot.kinds(FactKind.REPORT_WRITTEN)
    assert fact.payload["answered"] is False


def test_it_comes_after_the_run_or_after_the_site_s_own_roll_back(tmp_path: Path) -> None:
    pilot = APilot().set_up()
    with pytest.raises(NotYetAllowedError, match="has not ended"):
        write(pilot, tmp_path)
    pilot.fact(FactKind.SERVICE_ROLLED_BACK, "PIC", hours=50, reason="It leaks.", version="3.1.22", by="PIC")
    write(pilot, tmp_path)
    text = (tmp_path / "pilots/major-pilot-4711-1/PIC.txt").read_text()
    assert "> It leaks." in text
    assert "(2 days)" in " ".join(text.split())
    assert "at PIC" in text  # who asked for the roll-back is a site, not a user whose name is hidden
    with pytest.raises(NotYetAllowedError, match="no pilot service was set up"):
        report_view(APilot().record, pilot.patch, PIC, {}, END, incident_after=INCIDENT)


@pytest.mark.sd("4.1.3", step=9)
def test_it_must_speak_of_what_no_probe_can_see() -> None:
    record = eventful().record
    assert facts_of_report(at_desk(record, now=END, actor="pps"), "PIC", Given(REPORT, SAID, "ana", END)) == ()
    with pytest.raises(RefusedError, match="resources, stability"):
        facts_of_report(at_desk(record, now=END, actor="pps"), "PIC", Given(REPORT, {"issues": "None."}, "ana", END))


@pytest.mark.parametrize("text", [*HTML, *JINJA])
def test_what_people_write_is_data_in_the_report(tmp_path: Path, text: str) -> None:
    pilot = report(eventful(), resources=text, issues=text)
    write(pilot, tmp_path)
    html = (tmp_path / "pilots/major-pilot-4711-1/PIC.html").read_text()
    assert "<script" not in html
    assert html.count(as_html(text.strip())) == 2, "it is Markdown, cleaned"


def test_the_question_shows_what_is_known_already() -> None:
    pilot = eventful()
    view = report_view(pilot.record, pilot.patch, PIC, {}, END, incident_after=INCIDENT)
    body = templates().render("ask_pilot_report.md", {**view, "due": END + timedelta(days=5)})
    matches_snapshot("ask_pilot_report.md", body)
    assert tuple(SAID) == pilot_report.FIELDS
