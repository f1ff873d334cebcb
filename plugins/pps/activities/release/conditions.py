"""The last conditions before production: the classification, a joint decision, the release itself (SD 4.1.1, 4.1.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pps.activities.packages.verdicts import standing_verdict
from pps.domain.base.conditions import Condition, ConditionState, moment, without_words_of
from pps.domain.base.texts import one_line
from pps.domain.people import questions
from pps.domain.people.overruling import ROLES
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

MET, WAITING, NOT_YET = ConditionState.MET, ConditionState.WAITING, ConditionState.NOT_YET
FAILED, WAIVED = ConditionState.FAILED, ConditionState.WAIVED
_MANAGER = (Role.RELEASE_MANAGER.value,)


def classification(dossier: Rollout) -> tuple[Condition, ...]:
    """How a client is classified, where it is: what that means for a release, the deployment test's condition says."""
    standing = standing_verdict(dossier)
    if standing.verdict is None:
        return ()
    name, section = "classification", "SD 4.1.1, 4.1.2"
    word = f"“{standing.verdict}”"
    if standing.overruled:
        why = f"The {Role.RELEASE_MANAGER} has decided that it is {word}, whatever the program found."
        return (Condition(name, section, WAIVED, f"{why} {one_line(standing.reason, 300)}"),)
    return (Condition(name, section, MET, f"The program has compared its configuration: it is {word}."),)


def signed_source(record: Rollout) -> tuple[Condition, ...]:
    """That the provider's index was believed without a signature, where it was: everything waived is shown."""
    fact = record.the(FactKind.INDEX_UNSIGNED)
    if fact is None:
        return ()
    why = (
        f"Its provider does not sign it; those who run this service allow that. {one_line(fact.payload['reason'], 300)}"
    )
    return (Condition("signed source", "docs/adr/0022", WAIVED, why, rollout=record.name),)


def joint_decision(request: Rollout | None) -> tuple[Condition, ...]:
    """A request to overrule the policies that waits for its answers; until there are two, the policies hold."""
    if request is None or request.is_closed or request.has(FactKind.DECIDED):
        return ()
    asked = [questions.question(request, step, role) for step, role in ROLES.items()]
    agreed = [role for step, role in ROLES.items() if questions.decisive(request, step, role)]
    awaited = tuple(role for role in ROLES.values() if role not in agreed)
    until = max((q.due for q in asked if q), default=None)
    end = f" until {moment(until)}" if until else ""
    why = f"A request to overrule the policies waits{end} for {' and '.join(awaited) or 'its conclusion'}."
    return (Condition("joint decision", "SD 4.1.3", WAITING, why, awaited, until, request.name),)


def release(
    out: Fact | None, carriers: Sequence[Rollout], conditions: Iterable[Condition], tracker_says: str = ""
) -> Condition:
    """The release itself.

    Args:
        out: the fact that it has happened.
        carriers: the rollouts that can release it now.
        conditions: all others.
        tracker_says: what is to be said of the tracker beside it.
    """
    name, section = "release", "SD 4.1.1, last paragraph"
    if out is not None:
        why = " ".join(filter(None, (in_production(out), tracker_says)))
        return Condition(name, section, MET, why, rollout=out.rollout)
    for record in carriers:
        if refused := record.the(FactKind.RELEASE_REFUSED):
            why = f"On {moment(refused.at)} the rules did not allow it. {' '.join(_ours(refused))}".rstrip()
            return Condition(name, section, FAILED, why, _MANAGER, rollout=record.name)
    if all(condition.is_done for condition in conditions) and any(not record.is_over for record in carriers):
        return Condition(name, section, WAITING, "Nothing else is in its way; it is released by itself.")
    return Condition(name, section, NOT_YET, "It comes when everything above is met.")


def in_production(out: Fact) -> str:
    """The sentence for what has been released."""
    platforms = ", ".join(map(str, out.payload.get("platforms", ())))
    return f"It is in production since {moment(out.at)}{f', for {platforms}' if platforms else ''}."


def _ours(refused: Fact) -> tuple[str, ...]:
    """The reasons of a refusal, without those that quote a site or a program: they begin with a platform."""
    reasons = [str(reason) for reason in refused.payload.get("reasons", ())]
    platforms = {r.partition(": ")[0] for r in reasons if ": " in r and " " not in r.partition(": ")[0]}
    return without_words_of(reasons, platforms)
