"""What becomes of an answer: asked before it is stored without any effect, and told afterwards from the facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.desks import front, front_office
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, services, site, write_config  # noqa: F401
from tests.support.pilot_runs import GOLD, SERVER, APilot, endpoint_at

from pps.activities.people import asking
from pps.activities.pilots import set_up
from pps.domain.base.errors import RefusedError, ServiceError
from pps.domain.people.questions import Given
from pps.domain.record.facts import Fact, FactKind
from pps.workflow import answers
from pps.workflow.answers import Place, Standing, asked_again, reasons_against, verdict
from pps.workflow.form_book import FORMS
from pps.workflow.forms import put

PLACE = Place("pilot", "first", "at_site.set_up", 1)
GOOD = {"endpoint": endpoint_at("PIC"), "version": "3.1.23", "version_at": None, "previous": None, "remarks": None}
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def pilot() -> APilot:
    return APilot()


@pytest.fixture
def s(services: MemoryServices, pilot: APilot) -> MemoryServices:
    of_pic = {"type": "org.glite.wms", "host": GOLD["PIC"].services[0].host}
    given = {
        "facts": pilot.store,
        "tracker": MemoryTracker(SERVER),
        "templates": templates(),
        "service_probes": pilot.services,
        "information_system": pilot.published,
    }
    config = write_config(services.config.folder, [site("PIC", administrators=["ana"], services=[of_pic])])
    return MemoryServices(config, lambda _: None, given)


@pytest.fixture
def asked(s: MemoryServices, pilot: APilot) -> None:
    """The question of the set-up, put as the task does, when our address was another one."""
    d = front(s, pilot.record)
    wanted = FORMS[set_up.STEP].prepare(d, "PIC")
    assert wanted is not None
    put(d, FORMS[set_up.STEP], "PIC", wanted, PLACE.link("http://an.older.address/airflow/"))


def given(choice: str = set_up.SET_UP, at: datetime = LATER, **form: Any) -> Given:
    return Given(choice, GOOD | form, "ana", at)


def is_refused(s: MemoryServices, pilot: APilot, answer: Given, why: str = "Nothing answers there.") -> None:
    error = RefusedError("set-up at PIC", (why,), "Put it right, and answer again.")
    asking.refuse(front(s, pilot.record), answer, error, step=set_up.STEP, subject="PIC")


@pytest.mark.usefixtures("asked")
def test_the_rule_of_the_form_is_asked_with_its_reasons_and_nothing_happens(s: MemoryServices, pilot: APilot) -> None:
    before = pilot.record.facts
    wrong = given(version="3.1.22", endpoint="https://somewhere.else.org/")
    for _ in range(2):
        reasons = reasons_against(front_office(s), PLACE, wrong)
        assert "Version 3.1.22 was installed; the pilot's is 3.1.23." in reasons
        assert reasons[-1] == "Correct the form, and answer again."
    assert reasons_against(front_office(s), PLACE, given()) == ()
    assert "do not say why" in reasons_against(front_office(s), PLACE, given(set_up.CANNOT))[0]
    assert pilot.record.facts == before
    assert pilot.services.looked == [], "whoever asks often does not knock at a site's service"
    assert len(pilot.mails()) == 1, "the question"


@pytest.mark.usefixtures("asked")
def test_what_is_longer_than_a_record_may_be_is_refused_before_it_is_stored(s: MemoryServices) -> None:
    (reason,) = reasons_against(front_office(s), PLACE, given(remarks="\u00e9" * 9_000))  # the form's limit is 10,000
    assert reason == f"remarks: longer than {asking.LONGEST_TEXT} characters."


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("place", [replace(PLACE, map_index=0), replace(PLACE, run="second"), Place("x", "y", "z")])
def test_of_a_place_where_nothing_of_ours_waits_nothing_is_said(s: MemoryServices, place: Place) -> None:
    assert reasons_against(front_office(s), place, given(version="1")) == ()
    assert verdict(front_office(s), place, LATER).standing is Standing.NOT_JUDGED


@pytest.mark.usefixtures("asked")
def test_an_answer_that_decides_nothing_is_not_judged(s: MemoryServices, pilot: APilot) -> None:
    wrong = given(version="1")
    assert reasons_against(front_office(s), PLACE, replace(wrong, at=NOW + timedelta(days=99))) == ()
    asking.keep_answer(front(s, pilot.record), given(), step=set_up.STEP, subject="PIC")
    assert reasons_against(front_office(s), PLACE, wrong) == ()


@pytest.mark.usefixtures("asked")
def test_a_service_that_is_down_is_said_to_be_so(s: MemoryServices, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> None:
        raise ServiceError("tracker", "does not answer.")

    monkeypatch.setitem(answers.FORMS, set_up.STEP, replace(FORMS[set_up.STEP], check=down))  # type: ignore[arg-type]
    with pytest.raises(ServiceError):
        reasons_against(front_office(s), PLACE, given())


@pytest.mark.usefixtures("asked")
def test_a_rule_that_has_effects_must_have_another_one_for_the_check(
    s: MemoryServices, pilot: APilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(d: Any, about: str, answer: Given) -> tuple[Fact, ...]:
        d.record(d.fact(FactKind.TOLD, about, "x"))
        return ()

    form = replace(FORMS[set_up.STEP], check=None, follow=follow)
    monkeypatch.setitem(answers.FORMS, set_up.STEP, form)  # type: ignore[arg-type]
    before = pilot.record.facts
    with pytest.raises(TypeError, match="needs a `check`"):
        reasons_against(front_office(s), PLACE, given())
    assert pilot.record.facts == before


def _taken(s: MemoryServices, pilot: APilot) -> None:
    asking.keep_answer(front(s, pilot.record), given(), step=set_up.STEP, subject="PIC")


def _second(s: MemoryServices, pilot: APilot) -> None:
    first = given(set_up.CANNOT, NOW + timedelta(minutes=1), remarks="No machine.")
    asking.keep_answer(front(s, pilot.record), first, step=set_up.STEP, subject="PIC")
    _taken(s, pilot)


def _refused(s: MemoryServices, pilot: APilot) -> None:
    is_refused(s, pilot, given())


def _aside(s: MemoryServices, pilot: APilot) -> None:
    asking.set_aside(front(s, pilot.record), given(), step=set_up.STEP, subject="PIC", reason="BDII: does not answer.")


def _aside_and_taken(s: MemoryServices, pilot: APilot) -> None:
    _aside(s, pilot)
    _taken(s, pilot)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("happened", "standing", "why"),
    [
        (lambda s, pilot: None, Standing.NOT_JUDGED, ""),
        (_taken, Standing.TAKEN, ""),
        (_second, Standing.WITHOUT_EFFECT, ""),
        (_refused, Standing.NOT_TAKEN, "Nothing answers there. Put it right, and answer again."),
        (_aside, Standing.SET_ASIDE, "BDII: does not answer."),
        (_aside_and_taken, Standing.TAKEN, ""),
    ],
)
def test_what_has_become_of_an_answer_is_told_from_the_facts(
    s: MemoryServices,
    pilot: APilot,
    happened: Callable[[MemoryServices, APilot], None],
    standing: Standing,
    why: str,
) -> None:
    happened(s, pilot)
    found = verdict(front_office(s), PLACE, LATER + timedelta(microseconds=1))
    assert (found.standing, " ".join(found.reasons)) == (standing, why)
    assert verdict(front_office(s), PLACE, LATER + timedelta(minutes=1)).standing is Standing.NOT_JUDGED


@pytest.mark.usefixtures("asked")
def test_a_question_that_waits_again_says_why_and_holds_what_was_typed_last(s: MemoryServices, pilot: APilot) -> None:
    is_refused(s, pilot, given(version="3.1.2", remarks="first"))
    is_refused(s, pilot, given(at=LATER + timedelta(minutes=5), remarks="![i](http://t/p.png)"), "```\n<b>No</b>")
    other = replace(PLACE, map_index=7)
    found = asked_again(front_office(s), NOW, PLACE, other)
    assert set(found) == {PLACE}
    words = found[PLACE].words
    assert words.startswith("**Your answer of Mon 1 Dec 2025, 10:35 UTC was not taken** (Set up, by ana):"), words
    assert "````text\n``` <b>No</b>" in words, "people's words stay in their block"
    assert found[PLACE].form["remarks"] == "![i](http://t/p.png)"
    assert asked_again(front_office(s), LATER + timedelta(hours=1), PLACE) == {}
