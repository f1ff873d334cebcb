"""Who may hold a rollout back, let it go on and stop it, when, and what a pause holds back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.histories import History, a_site
from tests.unit.domain.clients.test_retries import out

from pps.domain.clients.control import Control, pause_of, reasons_against, reasons_against_control
from pps.domain.clients.retries import retry_of
from pps.domain.people.roles import Role
from pps.domain.record.facts import FactKind

RM = ["user:rita", f"role:{Role.RELEASE_MANAGER}"]
WHY = "Jobs are lost at PIC."
_TURNS = {Control.PAUSE: FactKind.ROLLOUT_PAUSED, Control.RESUME: FactKind.ROLLOUT_RESUMED}


def after(*turns: Control) -> History:
    made = out(path="bc-client")
    for number, turn in enumerate(turns):
        made.then(_TURNS[turn], occasion=str(number), reason=WHY)
    return made


@given(st.lists(st.sampled_from(Control), max_size=12))
def test_whatever_is_asked_in_whatever_order_a_rollout_is_paused_once_or_not_at_all(wanted: list[Control]) -> None:
    done: list[Control] = []
    for what in wanted:
        record = after(*done).rollout
        paused = pause_of(record) is not None
        allowed = not reasons_against_control(record, what, RM)
        assert allowed == {Control.PAUSE: not paused, Control.RESUME: paused, Control.STOP: True}[what]
        if allowed and what is not Control.STOP:
            done.append(what)


@pytest.mark.parametrize("what", Control)
def test_nothing_can_be_done_with_what_is_over_or_is_no_preview(what: Control) -> None:
    over = after(Control.PAUSE).then(FactKind.ROLLOUT_STOPPED, reasons=["The budget."]).rollout
    assert "withdraw it" in " ".join(reasons_against_control(over, what, RM))
    assert pause_of(over) is None, "nothing is held back by it any more"
    pilot = out(path="minor-pilot").rollout
    assert "minor-pilot" in " ".join(reasons_against_control(pilot, what, RM))


@pytest.mark.parametrize("role", [Role.EMT, Role.SITE_ADMINISTRATOR, Role.VO_REPRESENTATIVE, Role.REGIONAL_MANAGER])
def test_only_those_in_charge_may_and_everybody_reads_why(role: Role) -> None:
    record = after().rollout
    assert "Only the Release Manager" in reasons_against_control(record, Control.PAUSE, [f"role:{role}"])[0]
    assert reasons_against(record, Control.PAUSE, RM, "x y")
    assert not reasons_against(record, Control.PAUSE, RM, WHY)


def test_while_it_is_paused_no_site_is_tried_again_on_somebodys_word() -> None:
    registry = {name: a_site(name) for name in ("GOOD", "AWAY", "ILL", "GONE")}
    paused, goes_on = after(Control.PAUSE), after(Control.PAUSE, Control.RESUME)
    assert retry_of(paused.rollout, registry, None).reasons_against == (f"It is paused. {WHY}",)
    assert retry_of(goes_on.rollout, registry, None).sites
