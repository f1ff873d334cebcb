"""There is one availability of a pilot's service, whoever shows it: what nobody saw is not called available."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.desks import at_desk
from tests.support.examples import sqlite_store, templates
from tests.support.front import front, services  # noqa: F401
from tests.support.pilots import DAY, ENOUGH, GOLD, MAJOR, MINOR, WEEK, APilot
from tests.support.thoroughness import examples
from tests.unit.cli.pilots.test_pilots import here, pilot  # noqa: F401
from tests.unit.cli.test_commands import as_json, one_line, pps

from pps.activities.pilots.notes import notes
from pps.activities.pilots.report import report_view
from pps.activities.pilots.wrap_up import facts_of_wrap_up, results, wrap_up_view
from pps.cli.front import Front
from pps.domain.people.questions import Given
from pps.domain.pilots.success import assess
from pps.domain.record.facts import FactKind

HOUR = timedelta(hours=1)
#: What happens one after the other: how many hours later, which state is found, and whether somebody looks each day.
HAPPENINGS = st.lists(
    st.tuples(st.integers(1, 60), st.sampled_from(["OK", "WARNING", "CRITICAL", "UNKNOWN"]), st.booleans()), max_size=8
)


@pytest.mark.sd("4.1.3", step=9)
@given(happenings=HAPPENINGS, round_two=st.booleans(), rolled_back=st.booleans())
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gate_report_show_journal_wrap_up_and_notes_give_the_same_number(
    here: Front,
    happenings: list[tuple[int, str, bool]],
    round_two: bool,
    rolled_back: bool,
) -> None:
    here.services.__dict__["facts"] = sqlite_store()
    made = pilot(here, MINOR).running()
    if round_two:  # services that run already: the run begins with the newest agreement
        made.wait(WEEK).then(FactKind.KICK_OFF_AGREED, occasion="again", **agreed_as(made))
    for hours, state, looked in happenings:
        made.wait(hours * HOUR, looked=looked).probed(state)
    if rolled_back:
        made.rolled_back().wait(2 * HOUR)
    here.now = lambda: made.at
    before = shown_by_the_command(here, made)
    made.ended().wait(DAY)
    report = report_view(made.record, made.patch, GOLD["PIC"], {}, made.at, incident_after=HOUR)["availability"]
    assert shown_by_the_command(here, made) == before == {report}
    (result,) = results(made.record, made.at)
    assert result.available == report
    assessment = assess(made.pilot, ENOUGH, made.at)
    seen = " ".join(assessment.reasons_against)
    if not rolled_back and report and float(report) < 95:
        assert f"was well in {report} % of what was seen of the run" in seen
    else:
        assert "was well in" not in seen
    asked = templates().render("ask_pilot_wrap_up.md", wrap_up(made))
    made.then(FactKind.REPORT_WRITTEN, "PIC", "d", files=["pilots/x/PIC.html"])
    why = {"reason": "It is needed at once, whatever was seen."}
    desk = at_desk(made.record, made.store, now=made.at, actor="user carla")
    said = Given("Release", why, "carla", made.at)
    made.store.record(*facts_of_wrap_up(desk, said, assessment=assessment, usual=WEEK))
    notes_text = templates().render("pilot_notes.txt", notes(at_desk(made.record, made.store, patch=made.patch)))
    for text in (asked, notes_text):
        assert set(re.findall(r"well ([0-9.]+) % of what was seen of the run", one_line(text))) == ({report} - {""})


def agreed_as(made: APilot) -> dict[str, object]:
    agreed = made.record.need(FactKind.KICK_OFF_AGREED, "")
    return {**agreed.payload, "feedback_until": (made.at + 3 * WEEK).isoformat()}


def shown_by_the_command(here: Front, made: APilot) -> set[str]:
    (site,) = as_json(here, "pilot", "show", made.name)["sites"]
    (standing,) = as_json(here, "pilot", "journal", made.name)["sites"]
    assert site["availability"] == standing["availability"]
    return {(shown["available"] or "").removesuffix(" %") for shown in (site, standing)}


def wrap_up(made: APilot) -> dict[str, object]:
    assessment = assess(made.pilot, ENOUGH, made.at)
    return dict(
        wrap_up_view(
            at_desk(made.record, made.store, patch=made.patch, now=made.at),
            assessment,
            made.at,
            "https://pps.example.org",
        )
    )


@pytest.mark.sd("4.1.3", step=10)
def test_days_on_which_nobody_looked_make_a_good_share_a_low_one_and_the_verdict_inconclusive(
    here: Front,
) -> None:
    made = pilot(here, MINOR).running(run_for=WEEK).wait(DAY).probed("CRITICAL").wait(6 * HOUR).probed("OK")
    made.wait(5 * DAY + 18 * HOUR, looked=False).ended()
    here.now = lambda: made.at
    found = assess(made.pilot, ENOUGH, made.at)
    assert shown_by_the_command(here, made) == {"84.4"}  # six hours of the day and a half that somebody looked at
    assert found.reasons_against == (
        "The service at PIC was well in 84.4 % of what was seen of the run; it should be at least 95 %.",
    )
    (unknown,) = found.inconclusive
    assert "the run nobody knows how the service at PIC was" in unknown and unknown.startswith("For 7")
    assert "nobody knows" in one_line(pps(here, "pilot", "show", made.name)[1])
    assert unknown in templates().render("ask_pilot_wrap_up.md", wrap_up(made))


@pytest.mark.sd("4.1.3", step=10)
def test_a_pilot_that_nobody_looked_at_is_no_success(here: Front) -> None:
    made = pilot(here, MAJOR).running().wait(2 * WEEK, looked=False).ended()
    found = assess(made.pilot, ENOUGH, made.at)
    assert found.reasons_against == ()
    assert found.has_doubts
    assert "success" not in templates().render("ask_pilot_wrap_up.md", wrap_up(made))
