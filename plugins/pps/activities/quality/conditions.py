"""What the tests of an update say of its release, as conditions (SD 4.2.2, 4.2.3); each asks what the step asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pps.activities.packages.fetching import reasons_if_changed
from pps.activities.ports.record import Facts
from pps.activities.quality.deployment_tests import (
    needs_deployment_test,
    newest_deployment_test,
    newest_deployment_verdict,
)
from pps.domain.base.conditions import NOT_TOLD, Condition, ConditionState, in_order, listed, moment
from pps.domain.base.texts import one_line
from pps.domain.clients.updates import ClientVerdict, reasons_against_deployment
from pps.domain.packages.patch import Patch
from pps.domain.people import questions
from pps.domain.people.overruling import Overruling, waiver
from pps.domain.people.roles import Role
from pps.domain.quality import release_tests as rules
from pps.domain.quality.scenarios import (
    DeploymentOutcome,
    DeploymentVerdict,
    ScenarioResult,
    deployment_verdict,
    planned_scenarios,
    scenario_result,
)
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout

MET, WAITING, NOT_YET = ConditionState.MET, ConditionState.WAITING, ConditionState.NOT_YET
FAILED, WAIVED, UNKNOWN = ConditionState.FAILED, ConditionState.WAIVED, ConditionState.UNKNOWN
_NAME, _SECTION = "deployment test", "SD 4.1.2, 4.2.2"
_WHO = (Role.RELEASE_MANAGER.value,)
_SAME_UPDATE = f"{NOT_TOLD} whether it is still the same update."


def deployment_test(
    facts: Facts,
    patch: Patch | None,
    number: int,
    *,
    verdict: ClientVerdict | None,
    joint: Overruling | None,
    always: bool,
    waits_until: datetime | None,
) -> Condition:
    """The pre-deployment test of a patch.

    Args:
        patch: as the tracker has it now; None: it does not answer.
        verdict: how it is classified.
        always: a pilot's release needs one, whatever else is so (SD 4.1.3).
        waits_until: its rollout starts one, and waits for it until then; None: somebody else has to start it.
    """
    newest = newest_deployment_test(facts, number)
    ended = newest_deployment_verdict(facts, number, patch)
    reasons = reasons_against_deployment(patch, ended, verdict=verdict) if patch else ()
    lacking = bool(reasons) or (always and ended is None)
    if patch and not lacking:
        return _not_in_the_way(ended, patch)
    if joint is not None:
        return Condition(_NAME, _SECTION, WAIVED, waiver(joint, "Nobody waits for it"))
    if newest is not None and not newest.is_closed:
        return _under_way(newest, waits_until)
    if patch is None:
        return _without_tracker(newest, always=always)
    return _lacking(facts, patch, newest, ended, reasons, waits_until)


def _lacking(
    facts: Facts,
    patch: Patch,
    newest: Rollout | None,
    ended: DeploymentVerdict | None,
    reasons: Sequence[str],
    waits_until: datetime | None,
) -> Condition:
    if newest and ended and ended.outcome is DeploymentOutcome.FAILED:
        failed = listed([f"scenario {s.name}" for s in planned_scenarios(newest) if _failed(newest, s.name)])
        return Condition(_NAME, _SECTION, FAILED, f"{reasons[0]} Failed: {failed}.", ("provider", *_WHO))
    if ended is not None:
        # inconclusive, of another update, or of no platform that is left: nothing was learnt, so nothing has failed
        why = ended.reasons[0] if needs_deployment_test(facts, patch) else f"{reasons[0]} A new one is needed."
        return Condition(_NAME, _SECTION, NOT_YET, why, _WHO)
    why = reasons[0] if reasons else "A pilot's release needs one, and none has ended yet."
    if waits_until is not None:
        more = f"The rollout starts it, and waits for it until {moment(waits_until)}."
        return Condition(_NAME, _SECTION, NOT_YET, f"{why} {more}", until=waits_until)
    return Condition(_NAME, _SECTION, NOT_YET, f"{why} None has been started.", _WHO)


def _failed(test: Rollout, scenario: str) -> bool:
    return scenario_result(test, scenario) is ScenarioResult.FAIL


def _not_in_the_way(ended: DeploymentVerdict | None, patch: Patch) -> Condition:
    if ended is not None:
        platforms = listed([str(p) for p in ended.platforms])
        return Condition(_NAME, _SECTION, MET, f"It has passed on {platforms}.")
    platforms = listed([str(p) for p in sorted(set(patch.platforms) & set(patch.install_tested))])
    why = f"None is needed: no special configuration, and certification has installed it on {platforms}."
    return Condition(_NAME, "SD 4.1.1, last paragraph", MET, why)


def _under_way(test: Rollout, waits_until: datetime | None) -> Condition:
    scenarios = planned_scenarios(test)
    left = [s for s in scenarios if scenario_result(test, s.name) is None]
    asked = [q for q in questions.questions(test) if questions.is_open(test, q)]
    until = max((q.due for q in asked), default=None) or waits_until
    count = f"{len(scenarios) - len(left)} of {len(scenarios)} scenarios have ended" if scenarios else "it is planned"
    end = f"; it is waited for until {moment(until)}" if until else ""
    runners = tuple(dict.fromkeys(s.runner for s in left if not s.is_automatic))
    sentence = f"It is under way: {count}{end}."
    return Condition(_NAME, _SECTION, WAITING, sentence, runners, until, test.name)


def _without_tracker(newest: Rollout | None, *, always: bool) -> Condition:
    if newest is None:
        if always:
            return Condition(_NAME, _SECTION, NOT_YET, "None has been started.", _WHO)
        return Condition(_NAME, _SECTION, UNKNOWN, f"None is on record. {NOT_TOLD} whether one is needed.")
    outcome = deployment_verdict(newest).outcome
    return Condition(_NAME, _SECTION, UNKNOWN, f'Its outcome was "{outcome}". {_SAME_UPDATE}', rollout=newest.name)


# --- release test -----------------------------------------------------------------------------------------------


def of_release_test(record: Rollout, patch: Patch | None) -> tuple[Condition, ...]:
    """The conditions of a release test, in their order. Its sites are counted, not named: it is not public yet."""
    chain = [_trial(record), _decision(record)]
    if record.has(FactKind.PACKAGES_KEPT):
        chain.append(same_packages(record, patch, "SD 4.2.3"))
    return in_order(chain, over=record.is_over)


def _trial(record: Rollout) -> Condition:
    name, section = "trial at sites", "SD 4.2.3"
    if not record.has(FactKind.PATCH_DELIVERED):
        return Condition(name, section, WAITING, "It is delivered to the sites of the pools; this goes by itself.")
    found = rules.standings(record)
    said = {word: sum(s.word == word for s in found) for word in dict.fromkeys(s.word for s in found)}
    answered = sum(s.answer is not None for s in found)
    awaited = [s for s in found if s.question is None or questions.is_open(record, s.question)]
    if not awaited or questions.question(record, rules.DECISION, rules.MANAGER) or rules.decision(record):
        words = listed([f"{number} {word}" for word, number in said.items()])
        return Condition(name, section, MET, f"{answered} of {len(found)} sites have answered in time: {words}.")
    until = max((s.question.due for s in awaited if s.question), default=None)
    end = f"; it ends on {moment(until)} or when all have" if until else ""
    sentence = f"{answered} of {len(found)} sites have answered{end}."
    return Condition(name, section, WAITING, sentence, (Role.SITE_ADMINISTRATOR,), until)


def _decision(record: Rollout) -> Condition:
    name, section, who = "decision", "SD 4.2.3", (Role.RELEASE_MANAGER.value,)
    decided = rules.decision(record)
    asked = questions.question(record, rules.DECISION, rules.MANAGER)
    if decided is None:
        end = f" Silence until {moment(asked.due)} holds the update." if asked else ""
        why = f"The {Role.RELEASE_MANAGER} decides whether it is released.{end}"
        return Condition(name, section, WAITING, why, who, asked.due if asked else None)
    reason = one_line(decided.reason, 300)
    if decided.choice != rules.RELEASE:
        by = f"The {Role.RELEASE_MANAGER} holds it" if decided.user else "It is held"
        return Condition(name, section, FAILED, f"{by} since {moment(decided.at)}. {reason}", who)
    if doubts := len(_doubts(record)):
        against = "one reason" if doubts == 1 else f"{doubts} reasons"
        why = f"The {Role.RELEASE_MANAGER} releases it against {against} from the sites. {reason}"
        return Condition(name, section, WAIVED, why)
    return Condition(name, section, MET, f"The {Role.RELEASE_MANAGER} released it on {moment(decided.at)}.")


def _doubts(record: Rollout) -> list[str]:
    found = (f for f in record.facts if f.kind is FactKind.DECIDED and f.occasion == rules.DECISION)
    return list(next(found).payload.get("doubts", ()))


def same_packages(record: Rollout, patch: Patch | None, section: str) -> Condition:
    """What goes out is what was tried."""
    name = "same packages"
    if patch is None:
        return Condition(name, section, UNKNOWN, _SAME_UPDATE)
    if reasons := reasons_if_changed(record, patch):
        return Condition(name, section, FAILED, reasons[0], ("provider",))
    return Condition(name, section, MET, "The patch still names the packages that are tried.")


def waits_for_test_until(record: Rollout, wait_at_most: timedelta) -> datetime:
    """Until when a rollout waits for a deployment test of its patch."""
    return record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").at + wait_at_most
