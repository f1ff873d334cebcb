"""The Coordinator's questions before a pilot, as the human step puts them and takes their answers (no Airflow runs)."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.support.desks import at_desk, front
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, services, site, write_config  # noqa: F401
from tests.support.pilots import DAY, MAJOR, APilot

from pps.activities.people import asking
from pps.domain.base.errors import RefusedError
from pps.domain.pilots.pilot import Stage
from pps.domain.record.facts import FactKind
from pps.orchestration import params
from pps.workflow.form_book import FORMS
from pps.workflow.forms import Form, Given, put
from pps.workflow.pilots import before as forms
from pps.workflow.start_forms import PILOT

ROLE = "PPS Coordinator"


@pytest.fixture
def made() -> APilot:
    return APilot(MAJOR, vo="atlas")


@pytest.fixture
def s(services: MemoryServices, made: APilot) -> MemoryServices:
    config = write_config(services.config.folder, [site("PIC", partner_levels=["Gold"])])
    given = {"clock": lambda: made.at, "facts": made.store, "tracker": MemoryTracker(MAJOR), "templates": templates()}
    return MemoryServices(config, lambda _: None, given)


def answer(s: MemoryServices, made: APilot, form: Form, choice: str, **fields: Any) -> None:
    """As the human step does it."""
    asked = form.prepare(front(s, made.record), ROLE)
    assert asked is not None
    put(front(s, made.record, "pps"), form, ROLE, asked, "https://pps.example.org/answer")
    given = Given(choice, fields, "carla", made.at)
    more = form.follow(front(s, made.record), ROLE, given)
    asking.keep_answer(
        at_desk(made.record, made.store, now=made.at),
        Given(choice, fields, "carla", made.at),
        step=form.step,
        subject=ROLE,
        more=more,
    )
    assert form.after is not None
    form.after(front(s, made.record), ROLE)


@pytest.mark.sd("4.1.3", step=1)
def test_the_coordinator_is_shown_who_asks_what_for_and_what_the_rules_say(s: MemoryServices, made: APilot) -> None:
    asked = forms.ACCEPTANCE_FORM.prepare(front(s, made.record), ROLE)
    assert asked.assigned_to == ("role:PPS Coordinator",)
    assert asked.due == NOW + 5 * DAY
    assert "is this pilot accepted? (glite-CREAM 3.1.23, patch 4711)" in asked.title
    for words in ("erika (VO Representative, atlas)", "cream.conf:max_jobs", "Gold partners, and VOs take part"):
        assert words in " ".join(asked.body.split())


def test_an_accepted_request_goes_on_and_the_vo_is_told(s: MemoryServices, made: APilot) -> None:
    answer(s, made, forms.ACCEPTANCE_FORM, "Accept")
    assert made.pilot.stage is Stage.ACCEPTED
    assert "atlas@example.org" in {mail.to for mail, _, _ in made.store.outbox(made.name)}
    assert forms.ACCEPTANCE_FORM.prepare(front(s, made.record), ROLE) is None


def test_a_declined_request_is_closed(s: MemoryServices, made: APilot) -> None:
    answer(s, made, forms.ACCEPTANCE_FORM, "Decline", reason="No site has time before May.")
    assert made.pilot.stage is Stage.CLOSED
    assert forms.SELECTION_FORM.prepare(front(s, made.record), ROLE) is None


def test_silence_closes_the_request(s: MemoryServices, made: APilot) -> None:
    form = forms.ACCEPTANCE_FORM
    assert form.silence(front(s, made.record), ROLE) == ()
    made.then(FactKind.QUESTION_ASKED, ROLE, form.step, due=(NOW + DAY).isoformat())
    made.store.record(*form.silence(front(s, made.record), ROLE))
    form.after(front(s, made.record), ROLE)
    assert made.pilot.stage is Stage.CLOSED


@pytest.mark.sd("4.1.3", step=2)
def test_the_selection_names_the_sites_and_is_credited_once(s: MemoryServices, made: APilot) -> None:
    made.accepted().ranked()
    with pytest.raises(RefusedError, match="no site is selected"):
        forms.SELECTION_FORM.follow(front(s, made.record), ROLE, Given("Select", {}, "carla", made.at))
    answer(s, made, forms.SELECTION_FORM, "Select", sites="PIC", reason=None)
    assert made.pilot.sites == ("PIC",)
    forms.SELECTION_FORM.after(front(s, made.record), ROLE)
    credits = [f for f in made.record.facts if f.kind is FactKind.CREDITED]
    assert [(f.subject, f.payload["activity"]) for f in credits] == [("carla", "pilot-pre-screening")]


@pytest.mark.parametrize("silent", [True, False])
def test_without_a_site_the_pilot_ends(s: MemoryServices, made: APilot, silent: bool) -> None:
    made.accepted().ranked()
    if silent:
        assert forms.SELECTION_FORM.silence(front(s, made.record), ROLE) == ()
        forms.SELECTION_FORM.after(front(s, made.record), ROLE)
    else:
        answer(s, made, forms.SELECTION_FORM, "No site", reason="All are busy until June.")
    closed = made.record.the(FactKind.ROLLOUT_CLOSED).payload
    assert (closed["outcome"], "in time" in closed["reasons"][0]) == ("no site", silent)


def test_both_forms_stand_in_the_book_and_their_fields_have_valid_defaults() -> None:
    for form in forms.FORMS:
        assert FORMS[form.step] is form
        for field in form.fields.values():
            Draft202012Validator(field).validate(field["default"])
    assert params.of("minor_server_pilot").keys() == PILOT.keys()
    for field in PILOT.values():
        Draft202012Validator.check_schema(field)
