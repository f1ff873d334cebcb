"""SD 4.1.1 and 4.1.2, definitions: which client update is backward compatible, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from tests.support import yaim_trees as trees
from tests.support.desks import at_desk, at_office
from tests.support.examples import sqlite_store, templates
from tests.support.histories import DEBIAN, NOON, a_patch, a_site

from pps.activities.clients.forecast import foresee
from pps.activities.clients.local_configuration import CONFIGURED, facts_of_answer, instructions
from pps.activities.clients.opening import open_client_rollout
from pps.activities.packages.classification import subject_of
from pps.activities.packages.verdicts import (
    found_variables,
    overrule,
    reasons_against_bc,
    reasons_against_non_bc,
    required_variables,
    standing_verdict,
    view,
)
from pps.activities.ports.packages import Tarball
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.clients.batches import BatchLimits
from pps.domain.clients.updates import (
    ClientVerdict,
    classify_client,
    reasons_against_bc_client_preview,
    reasons_against_non_bc_client_preview,
)
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.packages.yaim import ChangeKind, YaimChange, YaimTree, compare
from pps.domain.people.questions import Given
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath, dossier_name

BC, NON_BC = ClientVerdict.BC, ClientVerdict.NON_BC


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


def verdict_on(update: Mapping[str, str], notes: str = "", **tracker: Any) -> tuple[ClientVerdict, tuple[str, ...]]:
    changes = compare(YaimTree.read(trees.PRODUCTION), YaimTree.read(update))
    return classify_client(changes, notes, **tracker)


def classified(store: FactStore, verdict: ClientVerdict, patch: Patch, occasion: str = "a", **more: Any) -> None:
    payload = {
        "verdict": verdict.value,
        "findings": [],
        "compared_with": [],
        "reasons": [],
        "subject": subject_of(patch),
        **more,
    }
    name = dossier_name(patch.number)
    store.record_in_dossier(patch.number, Fact(name, FactKind.CLASSIFIED, "", occasion, NOON, "pps", payload))


# --- the definitions ---------------------------------------------------------------------------


@pytest.mark.sd("4.1.1")
@pytest.mark.parametrize("update", [trees.PRODUCTION, trees.MORE_COMMENTS])
def test_a_client_without_new_or_changed_variables_and_without_notes_is_backward_compatible(
    update: Mapping[str, str],
) -> None:
    assert verdict_on(update) == (BC, ())
    assert verdict_on(update, " \n") == (BC, ())


@pytest.mark.sd("4.1.2")
@pytest.mark.parametrize(
    ("update", "name", "file"),
    [
        (trees.NEW_OPTIONAL, "BDII_IPV6_SUPPORT", "services/glite-bdii"),
        (trees.NEW_MANDATORY, "BDII_EMIR_HOST", "functions/config_emir"),
        (trees.NEW_MANDATORY_WITH_DEFAULT, "BDII_EMIR_HOST", "functions/config_emir"),
        (trees.CHANGED_DEFAULT, "BDII_PORT", "defaults/glite-bdii.pre"),
        (trees.BECAME_MANDATORY, "BDII_REGIONS", "functions/config_regions"),
        (trees.DROPPED_NODE, "BDII_top", "node-info.d/glite-bdii"),
        (trees.PERHAPS_NEW, "BDII_LOG_DIR", "functions/config_bdii:14"),
    ],
)
def test_a_client_that_asks_sites_for_configuration_is_not_and_the_file_is_named(
    update: Mapping[str, str], name: str, file: str
) -> None:
    verdict, (reason,) = verdict_on(update)
    assert verdict is NON_BC
    assert name in reason
    assert file in reason


@pytest.mark.sd("4.1.1")
@pytest.mark.parametrize("update", [trees.DROPPED, trees.NEW_NODE])
def test_what_no_site_has_to_react_to_is_listed_but_leaves_the_client_backward_compatible(
    update: Mapping[str, str],
) -> None:
    assert compare(YaimTree.read(trees.PRODUCTION), YaimTree.read(update))
    assert verdict_on(update) == (BC, ())


def test_a_variable_that_became_mandatory_is_harmless_where_it_has_a_default() -> None:
    change = YaimChange("X", ChangeKind.BECAME_MANDATORY, "functions/f", "1", "1")
    assert classify_client([change], "")[0] is BC


@pytest.mark.sd("4.1.2")
def test_configuration_notes_alone_make_a_client_non_backward_compatible() -> None:
    verdict, (reason,) = verdict_on(trees.PRODUCTION, "Set SE_LIST by hand.")
    assert verdict is NON_BC
    assert "configuration section" in reason


@pytest.mark.sd("4.1.1")
def test_the_variables_of_the_tracker_count_too_and_are_told_apart() -> None:
    verdict, reasons = verdict_on(trees.NEW_OPTIONAL, new_variables=["A"], changed_variables=["B"])
    assert verdict is NON_BC
    assert reasons[0].endswith("(services/glite-bdii).")
    assert reasons[1:] == ("Variable A is new (tracker).", "Variable B is to be changed (tracker).")


# --- admission -----------------------------------------------------------------------------------


@pytest.mark.sd("4.1.1")
def test_a_client_that_is_classified_as_non_bc_does_not_go_the_bc_way() -> None:
    assert reasons_against_bc_client_preview(a_patch()) == ()
    assert reasons_against_bc_client_preview(a_patch(), BC) == ()
    (reason,) = reasons_against_bc_client_preview(a_patch(), NON_BC)
    assert "non-backward compatible" in reason


@pytest.mark.sd("4.1.1")
def test_a_verdict_opens_no_other_door() -> None:
    patch = a_patch(state=PatchState.REJECTED, basic_certification_passed=False, packages=(), platforms=())
    for verdict in (None, BC, NON_BC):
        assert len(reasons_against_bc_client_preview(patch, verdict)) == 4 + (verdict is NON_BC)
        assert len(reasons_against_non_bc_client_preview(patch, verdict)) == 4 + (verdict is not NON_BC)


@pytest.mark.sd("4.1.2")
def test_a_non_bc_client_must_be_in_certification_flagged_and_name_packages_and_platforms() -> None:
    assert reasons_against_non_bc_client_preview(a_patch(), NON_BC) == ()
    for wrong in (
        {"state": PatchState.CERTIFIED},
        {"basic_certification_passed": False},
        {"packages": ()},
        {"platforms": ()},
    ):
        assert len(reasons_against_non_bc_client_preview(a_patch(**wrong), NON_BC)) == 1


@pytest.mark.sd("4.1.2")
def test_a_bc_client_does_not_wait_for_local_configuration() -> None:
    for verdict in (BC, None):
        (reason,) = reasons_against_non_bc_client_preview(a_patch(), verdict)
        assert "SD 4.1.1" in reason


@pytest.mark.sd("4.1.2")
@pytest.mark.parametrize(
    "field", [{"new_variables": ("X",)}, {"changed_variables": ("X",)}, {"special_configuration": "Set X."}]
)
def test_unless_classified_the_tracker_tells_that_configuration_is_needed(field: dict[str, Any]) -> None:
    assert reasons_against_non_bc_client_preview(a_patch(**field)) == ()
    assert len(reasons_against_non_bc_client_preview(a_patch(**field), BC)) == 1


# --- the Release Manager's word ----------------------------------------------------------------


def test_the_release_manager_overrules_with_a_reason_and_the_newest_word_counts(store: FactStore) -> None:
    patch = a_patch()
    assert standing_verdict(store.dossier(4711)) == (None, False, "")
    classified(store, NON_BC, patch, reasons=["Variable X is new (f)."])
    assert standing_verdict(store.dossier(4711)) == (NON_BC, False, "Variable X is new (f).")
    overrule(at_office(store, now=NOON, actor="rm@example.org"), patch, BC, "X is a path,\n  not a variable.")
    assert standing_verdict(store.dossier(4711)) == (BC, True, "X is a path, not a variable.")
    overrule(at_office(store, now=NOON, actor="rm"), patch, NON_BC, "It is one after all.")
    assert standing_verdict(store.dossier(4711))[:2] == (NON_BC, True)


def test_the_same_word_again_is_nothing_new(store: FactStore) -> None:
    patch = a_patch()
    classified(store, NON_BC, patch)
    for _ in range(3):
        overrule(at_office(store, now=NOON, actor="rm"), patch, BC, "X is a path.")
    overrule(at_office(store, now=NOON, actor="rm"), patch, BC, "X is a path, and so is Y.")
    facts = [f for f in store.dossier(4711).facts if f.kind is FactKind.CLASSIFICATION_OVERRULED]
    assert [f.occasion for f in facts] == ["1", "2"]


@pytest.mark.parametrize("reason", ["", "   ", "\n\u202e\x00", "no", "x" * 3000, "two words " * 300])
def test_an_overruling_without_a_real_reason_is_refused(store: FactStore, reason: str) -> None:
    classified(store, NON_BC, a_patch())
    with pytest.raises(RefusedError, match="needs a reason"):
        overrule(at_office(store, now=NOON, actor="rm"), a_patch(), BC, reason)
    assert not store.dossier(4711).has(FactKind.CLASSIFICATION_OVERRULED)


def test_there_must_be_something_to_overrule(store: FactStore) -> None:
    with pytest.raises(NotYetAllowedError, match="pps classify 4711"):
        overrule(at_office(store, now=NOON, actor="rm"), a_patch(), BC, "I know better.")
    classified(store, BC, a_patch())
    with pytest.raises(RefusedError, match="nothing to overrule"):
        overrule(at_office(store, now=NOON, actor="rm"), a_patch(), BC, "I know better.")


def test_an_overruling_is_about_what_was_found_then(store: FactStore) -> None:
    patch = a_patch()
    classified(store, NON_BC, patch, "one")
    overrule(at_office(store, now=NOON, actor="rm"), patch, BC, "X is a path.")
    classified(store, NON_BC, patch, "two")
    assert standing_verdict(store.dossier(4711))[:2] == (NON_BC, False)
    overrule(at_office(store, now=NOON, actor="rm"), patch, BC, "X is a path.")
    assert standing_verdict(store.dossier(4711))[:2] == (BC, True)


@pytest.mark.sd("4.1.1")
def test_overruled_to_bc_the_variables_of_the_tracker_no_longer_refuse(store: FactStore) -> None:
    patch = a_patch(new_variables=("YEX_X",))
    classified(store, NON_BC, patch)
    assert len(reasons_against_bc(store.dossier(4711), patch)) == 2
    assert reasons_against_non_bc(store.dossier(4711), patch) == ()
    overrule(at_office(store, now=NOON, actor="rm"), patch, BC, "YEX_X is YAIM's own business.")
    assert reasons_against_bc(store.dossier(4711), patch) == ()
    assert len(reasons_against_non_bc(store.dossier(4711), patch)) == 1


@pytest.mark.sd("4.1.1")
def test_what_is_perhaps_new_refuses_the_bc_way_by_name_until_a_person_has_spoken(store: FactStore) -> None:
    patch = a_patch()
    classified(store, NON_BC, patch, findings=found(trees.PERHAPS_NEW))
    reasons = reasons_against_bc(store.dossier(4711), patch)
    assert any("BDII_LOG_DIR is perhaps new" in r and "functions/config_bdii:14" in r for r in reasons)
    assert any("pps classify 4711 --overrule bc" in r for r in reasons)
    assert found_variables(store.dossier(4711), patch) == ("BDII_LOG_DIR",)
    assert required_variables(store.dossier(4711), patch) == {}, "nothing says that a site must set it"
    overrule(at_office(store, now=NOON, actor="rm"), patch, BC, "It is a folder of our own.")
    assert reasons_against_bc(store.dossier(4711), patch) == ()
    assert found_variables(store.dossier(4711), patch) == ()


def test_a_bc_of_the_program_does_not_hide_what_the_tracker_says_since(store: FactStore) -> None:
    classified(store, BC, a_patch())
    later = a_patch(new_variables=("X",))
    assert any("adds the configuration variables X" in r for r in reasons_against_bc(store.dossier(4711), later))


@pytest.mark.parametrize(
    "different",
    [
        {"packages": (*a_patch().packages, *a_patch(version="2").externals), "externals": a_patch().packages},
        {"new_variables": ("X",)},
        {"changed_variables": ("X",)},
        {"special_configuration": "Set X."},
    ],
)
def test_a_patch_that_has_changed_since_is_classified_again_before_it_goes_anywhere(
    store: FactStore, different: dict[str, Any]
) -> None:
    classified(store, NON_BC, a_patch())
    overrule(at_office(store, now=NOON, actor="rm"), a_patch(), BC, "X is a path.")
    changed = a_patch(**different)
    for reasons in (
        reasons_against_bc(store.dossier(4711), changed),
        reasons_against_non_bc(store.dossier(4711), changed),
    ):
        assert any("Classify it again: pps classify 4711" in reason for reason in reasons)
    with pytest.raises(NotYetAllowedError, match="has other packages"):
        overrule(at_office(store, now=NOON, actor="rm"), changed, BC, "Still a path.")


def test_its_next_state_in_the_tracker_does_not_make_a_classification_old(store: FactStore) -> None:
    classified(store, BC, a_patch())
    moved = a_patch(state=PatchState.CERTIFIED, install_tested=(), title="another")
    assert len(reasons_against_bc(store.dossier(4711), moved)) == 1


@pytest.mark.sd("4.1.1")
def test_a_rollout_is_not_opened_against_the_verdict_and_the_forecast_says_so(store: FactStore) -> None:
    patch = a_patch()
    classified(store, NON_BC, patch)
    with pytest.raises(RefusedError, match="non-backward compatible"):
        open_client_rollout(at_office(store, now=NOON, actor="pps"), patch, tag_vo="ops", run="r")
    limits = BatchLimits(2, 3, 1.0, 0.3, 1)
    dossier = store.dossier(4711)
    forecast = foresee("bc-client-4711-1", patch, [], limits=limits, tag_vo="ops", dossier=dossier)
    assert any("non-backward compatible" in reason for reason in forecast.reasons_against)
    overrule(at_office(store, now=NOON, actor="rm"), patch, BC, "X is a path.")
    name = open_client_rollout(at_office(store, now=NOON, actor="pps"), patch, tag_vo="ops", run="r")
    classified(store, NON_BC, patch, "later")
    again = open_client_rollout(
        at_office(store, now=NOON + timedelta(days=1), actor="pps"), patch, tag_vo="ops", run="r"
    )
    assert again == name, "a retry is not asked again"


def found(update: Mapping[str, str]) -> list[dict[str, Any]]:
    changes = compare(YaimTree.read(trees.PRODUCTION), YaimTree.read(update))
    return [{**asdict(change), "sentence": change.sentence} for change in changes]


EMIR = "BDII_EMIR_HOST"


@pytest.mark.sd("4.1.2", step=3)
@pytest.mark.parametrize(
    ("update", "asked"),
    [
        (trees.NEW_MANDATORY, (EMIR,)),
        (trees.BECAME_MANDATORY, ("BDII_REGIONS",)),
        (trees.NEW_MANDATORY_WITH_DEFAULT, ()),
        (trees.NEW_OPTIONAL, ()),
        (trees.CHANGED_DEFAULT, ()),
        (trees.with_lines(trees.PRODUCTION, "functions/config_vo", "requires VO_${VO}_SW_DIR\n"), ()),
    ],
)
def test_sites_are_asked_to_set_what_the_packages_require_though_the_tracker_does_not_name_it(
    store: FactStore, update: Mapping[str, str], asked: tuple[str, ...]
) -> None:
    patch = a_patch(new_variables=("NAMED",))
    classified(store, NON_BC, patch, findings=found(update))
    forecast = foresee(
        "r",
        patch,
        [],
        limits=BatchLimits(2, 3, 1.0, 0.3, 1),
        tag_vo="ops",
        dossier=store.dossier(4711),
        path=RolloutPath.NON_BC_CLIENT,
    )
    name = open_client_rollout(
        at_office(store, now=NOON, actor="pps"), patch, tag_vo="ops", run="r", path=RolloutPath.NON_BC_CLIENT
    )
    record = store.rollout(name)
    assert record.variables_to_set == forecast.variables == ("NAMED", *asked)
    if not asked:
        return
    with pytest.raises(RefusedError, match=f"does not say how {asked[0]} was set"):
        facts_of_answer(
            at_desk(record, now=NOON, actor="ana"), "PIC", Given(CONFIGURED, {"settings": "NAMED=1"}, "ana", NOON)
        )
    facts_of_answer(
        at_desk(record, now=NOON, actor="ana"),
        "PIC",
        Given(CONFIGURED, {"settings": f"NAMED=1\n{asked[0]}=2"}, "ana", NOON),
    )


@pytest.mark.sd("4.1.2", step=3)
def test_the_question_says_what_requires_a_variable_and_which_names_are_the_site_s_own(store: FactStore) -> None:
    update = trees.with_lines(trees.NEW_MANDATORY, "functions/config_vo", "requires VO_${VO}_SW_DIR\n")
    patch = a_patch(new_variables=("NAMED",))
    classified(store, NON_BC, patch, findings=found(update))
    name = open_client_rollout(
        at_office(store, now=NOON, actor="pps"), patch, tag_vo="ops", run="r", path=RolloutPath.NON_BC_CLIENT
    )
    asked = instructions(store.rollout(name), patch, a_site(), Tarball("client-1", "d" * 64, {}, 0, ()), NOON)
    body = templates().render("ask_local_configuration.md", asked)
    assert "* `NAMED`\n" in body
    assert f"* `{EMIR}` (its packages require it: `functions/config_emir`)\n" in body
    assert "we cannot check them" in body
    assert "* `VO_*_SW_DIR` (`functions/config_vo`)\n" in body


@pytest.mark.sd("4.1.2", step=3)
def test_nothing_of_a_classification_that_is_overruled_or_older_than_the_patch_is_asked_for(store: FactStore) -> None:
    patch = a_patch(special_configuration="See the guide.")
    classified(store, NON_BC, patch, findings=found(trees.NEW_MANDATORY))
    assert set(required_variables(store.dossier(4711), patch)) == {EMIR}
    assert required_variables(store.dossier(4711), a_patch(special_configuration="Other.")) == {}
    overrule(at_office(store, now=NOON, actor="rm"), patch, BC, "EMIR is our own registry.")
    assert required_variables(store.dossier(4711), patch) == {}


def test_what_the_notes_show_of_it_holds_no_mail_address(store: FactStore) -> None:
    assert view(None) is None
    assert view(store.dossier(4711)) is None
    patch = a_patch(platforms=(DEBIAN,))
    classified(store, NON_BC, patch, findings=[{"sentence": "Variable X is new (f)."}], findings_in_all=3)
    overrule(at_office(store, now=NOON, actor="ada@example.org"), patch, BC, "X is a path.")
    shown = view(store.dossier(4711))
    assert shown is not None
    assert (shown["program"], shown["verdict"], shown["more"]) == (NON_BC, BC, 2)
    assert shown["overruled"] == {"by": "ada", "at": NOON, "reason": "X is a path."}
