"""The note of a run in Airflow: true, short, without anybody's name, and never over what people wrote."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import asked, previewed, sqlite_store
from tests.support.histories import NOON, History

from pps.activities.clients.run_note import LONGEST_NOTE, NoteAsked, line_about, note_with
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError
from pps.domain.people.feedback import Terms
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

KEY, OLDER = b"k" * 32, b"o" * 32


def many_failed(sites: int, reason: str = "cannot be reached (Connection refused). Check for a downtime.") -> Rollout:
    names = [f"SITE-{n:03}" for n in range(sites)]
    history = History().planned(canary=names[:1], fleet_1=names[1:])
    history.then(FactKind.GATE_PASSED)
    for name in names:
        history.then(FactKind.SITE_FAILED, name, reason=f"{name}: {reason}", step="distribute")
    return history.rollout


def test_the_line_counts_sites_and_names_those_that_failed_with_the_first_sentence_of_the_reason() -> None:
    store = sqlite_store()
    line = line_about(asked(store, previewed(store)))
    assert line == (
        "bc-client-4711-1 (preview): 4 of 5 sites reached; "
        "1 failed: INFN-BARI (no answer on port 22 in 20 s); "
        "1 installed, but not announced: LIP-Lisbon (Probe environment is CRITICAL: voms-proxy-info resolves to "
        "/usr/bin, not into the preview)"
    )


def test_while_vos_are_asked_the_line_says_how_many_are_enough_and_afterwards_no_more() -> None:
    store, terms = sqlite_store(), Terms(enough=1)
    record = asked(store, previewed(store))
    line = line_about(record, terms=terms)
    awaited = "0 of 2 VOs have answered; enough are 1; it ends on Mon 15 Dec 2025, 09:30 UTC at the latest"
    assert line.startswith(f"bc-client-4711-1 (preview): 4 of 5 sites reached; {awaited}; 1 failed: INFN-BARI")
    store.record(Fact(record.name, FactKind.FEEDBACK_ENDED, "", "", NOON, "pps", {"outcome": "none"}))
    assert "enough" not in line_about(store.rollout(record.name), terms=terms)


def test_a_site_that_is_left_out_is_none_of_the_planned_and_a_withdrawal_says_where_it_still_is() -> None:
    history = History().planned(canary=["A"], fleet_1=["B"]).then(FactKind.SITE_LEFT_OUT, "C", reason="No.")
    assert line_about(history.rollout).endswith("(canaries): 0 of 2 sites reached")
    declined = History().planned(silver_1=["A", "B"]).then(FactKind.SITE_LEFT_OUT, "B", "configuration", reason="No.")
    assert line_about(declined.rollout).endswith("(canaries): 0 of 2 sites reached; 1 left out: B (No)")
    history.then(FactKind.PREVIEW_INSTALLED, "A").then(FactKind.PREVIEW_INSTALLED, "B")
    history.then(FactKind.WITHDRAWAL_ASKED, reason="It corrupts files.")
    assert line_about(history.rollout).endswith("(withdrawn): still at 2 of 2 sites; because: It corrupts files.")
    history.then(FactKind.PREVIEW_REMOVED, "A").then(FactKind.PREVIEW_REMOVED, "B")
    assert line_about(history.rollout).endswith("(withdrawn): it has left all sites; because: It corrupts files.")


def test_a_site_outside_its_window_is_named_and_not_among_those_that_failed() -> None:
    why = "A was outside its window (Mon, 08:00 to 18:00, UTC) on Sun 1 Mar 2026, 12:00; its window opens on ..."
    history = History().planned(canary=["B"], fleet_1=["A"]).then(FactKind.SITE_PUT_OFF, "A", "wish-1", reason=why)
    line = line_about(history.rollout)
    assert "(canaries): 0 of 2 sites reached; 1 put off: A (was outside its window (Mon, 08:00 to 18:00, UTC)" in line
    assert "failed" not in line


def test_no_address_token_or_user_of_a_reason_gets_into_the_note() -> None:
    token = "A" * 43
    reason = f"write to ada@example.org, /home/ada/x, token={token}, carla says no. Next."
    history = History().planned(canary=["A"], fleet_1=["B"])
    history.then(FactKind.DECIDED, user="carla", decision="release", reason="")
    line = line_about(history.then(FactKind.SITE_FAILED, "A", reason=f"A: {reason}").rollout)
    assert "1 failed: A (" in line
    for word in ("ada", token, "carla"):
        assert word not in line


@given(
    st.integers(0, 60),
    st.text(st.characters(exclude_characters="▸", exclude_categories=["Cs"]), max_size=LONGEST_NOTE),
    st.sampled_from(["no room.", "x" * 300, "zwölf Stück\n▸ mine. More"]),
)
def test_the_note_fits_into_airflows_and_keeps_what_people_wrote_as_it_is(sites: int, theirs: str, reason: str) -> None:
    record = many_failed(sites, reason)
    note = note_with(theirs, record.name, lambda _: record)
    assert len(note) <= LONGEST_NOTE
    assert note.startswith("\n".join(theirs.splitlines()).strip())
    assert note_with(note, record.name, lambda _: record) == note, "the same facts give the same note"
    if len(theirs) < 800 and sites:
        assert f"{sites} failed" in note, "a number is never cut off"


def test_each_rollout_of_a_night_has_its_line_which_is_brought_up_to_date_below_what_others_write() -> None:
    first, second = History("bc-client-1-1").planned(canary=["A"]), History("bc-client-2-1").planned(canary=["B"])

    def record_of(name: str) -> Rollout:
        if name not in ("bc-client-1-1", "bc-client-2-1"):
            raise NotYetAllowedError(name, "is not on record.")
        return (first if name == "bc-client-1-1" else second).rollout

    note = note_with(None, "bc-client-1-1", record_of)
    note = note_with(f"{note}\nA is in downtime till Monday.\n▸ bc-client-9-9 is a joke", "bc-client-2-1", record_of)
    first.then(FactKind.PREVIEW_INSTALLED, "A")
    assert note_with(note, "bc-client-2-1", record_of).split("\n\n") == [
        "A is in downtime till Monday.",
        "▸ bc-client-1-1 (canaries): 1 of 1 sites reached",
        "▸ bc-client-2-1 (canaries): 0 of 1 sites reached",
    ]


def test_what_a_worker_asks_is_read_only_with_the_installations_own_secret_old_or_new() -> None:
    asked = NoteAsked("bc_client_update", "bc-client-4711-1", "bc-client-4711-1")
    text = asked.signed(OLDER)
    assert NoteAsked.read(KEY + b"," + OLDER, text) == asked
    forged = ["", "x", text[:-1], text.replace(text[0], "A"), asked.signed(b"another secret of thirty-two bytes")]
    assert [NoteAsked.read(OLDER, one) for one in forged] == [None] * len(forged)
    with pytest.raises(ConfigurationError):
        asked.signed(b"")


def test_a_stopped_rollout_says_why() -> None:
    record = many_failed(3)
    stopped = History(record.name)
    stopped.facts = list(record.facts)
    stopped.then(FactKind.ROLLOUT_STOPPED, reasons=["3 of 3 sites failed; the failure budget allows 1."])
    assert "; because: 3 of 3 sites failed; the failure budget allows 1.; 3 failed: SITE-000 (" in line_about(
        stopped.then(FactKind.ROLLOUT_CLOSED, at=NOON + timedelta(days=1), outcome="stopped").rollout
    )
