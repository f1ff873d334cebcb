"""What was ill with the version before is no fault of the new one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.histories import History

from pps.domain.quality.comparison import Beside, compared, failing
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout

STATES = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["OK", "WARNING", "CRITICAL", "UNKNOWN"]), min_size=1)


def probed(results: dict[str, str] | None, name: str = "bc-client-4711-1") -> Rollout:
    made = History(name)
    if results is not None:
        ill = any(state in ("CRITICAL", "UNKNOWN") for state in results.values())
        kind = FactKind.PROBES_FAILED if ill else FactKind.PROBES_PASSED
        made.then(kind, "PIC", results=[{"probe": p, "state": s, "text": ""} for p, s in results.items()])
    return made.rollout


@given(STATES, st.none() | STATES)
def test_a_site_is_a_regression_exactly_if_a_probe_fails_that_did_not_fail_before(
    now: dict[str, str], then: dict[str, str] | None
) -> None:
    found = compared(probed(now), probed(then, "bc-client-4700-1")).get("PIC")
    ill = {p for p, state in now.items() if state in ("CRITICAL", "UNKNOWN")}
    was_ill = {p for p, state in (then or {}).items() if state in ("CRITICAL", "UNKNOWN")}
    if not ill:
        assert found is None
    elif then is None:
        assert found and (found.beside, set(found.probes)) == (Beside.NOT_KNOWN, ill)
    else:
        assert found and found.beside is (Beside.REGRESSION if ill - was_ill else Beside.AS_BEFORE)
        assert set(found.probes) == ill - was_ill


def test_a_report_without_results_blames_nothing() -> None:
    (fact,) = [f for f in History().then(FactKind.PROBES_FAILED, "PIC").facts if f.kind is FactKind.PROBES_FAILED]
    assert failing(fact) == frozenset()
    assert compared(History().rollout, None) == {}
