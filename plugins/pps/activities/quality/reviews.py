"""Plan, check, act for a product: targets are set, actions agreed on, each review keeps the numbers as they were."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pps.activities.desk import Office
from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import as_sentence, reasons_against_reason
from pps.domain.people.providers import IN_CHARGE, Provider, reasons_against_speaking_for_product
from pps.domain.quality.measures import MEASURES, reasons_against_target, together
from pps.domain.quality.measures_of_release import Release
from pps.domain.quality.measures_plan import RECORD, Plan, plan_of, reasons_against_action
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath

#: The same words by the same person within this time are the same review: a second click, a retry.
SAME_WITHIN = timedelta(minutes=10)
_TARGET, _REVIEW = FactKind.QUALITY_TARGET_SET, FactKind.QUALITY_REVIEWED
_AGREED, _ENDED = FactKind.QUALITY_ACTION_AGREED, FactKind.QUALITY_ACTION_ENDED


def standing_plan(facts: Facts, product: str) -> Plan:
    """What was said of a product, as it counts now."""
    return plan_of(product, facts.about([RECORD], product)[RECORD].facts)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks for a product."""

    user: str
    mine: Collection[str]
    """all names under which they are known (`domain.people.roles.identities`)"""
    providers: Sequence[Provider]

    def reasons_against(self, product: str, what: str) -> tuple[str, ...]:
        """Why they may not."""
        return reasons_against_speaking_for_product(product, what, self.providers, self.mine)

    def signature(self, product: str) -> dict[str, str]:
        """Who it was, and in which role, as facts have it."""
        role = next((role.value for role in IN_CHARGE if f"role:{role}" in self.mine), "")
        if not role:
            mine = (p.name for p in self.providers if p.has(product) and p.is_spoken_for_by(self.mine))
            role = f"provider {next(mine, '')}".strip()
        return {"user": self.user, "role": role}


def set_target(office: Office, product: str, measure: str, target: float | None, reason: str, by: Speaker) -> Fact:
    """Set, or lift, a target; from then on it counts for releases that begin. What stands already is one fact.

    Raises:
        RefusedError: it is no target, has no reason, or comes from somebody else.
        NotYetAllowedError: there is none that could be lifted.
    """
    reasons = by.reasons_against(product, "set its targets")
    reasons = reasons or (
        *reasons_against_target(MEASURES.get(measure), target),
        *reasons_against_reason(reason),
    )
    if reasons:
        raise RefusedError(f"target of {product}", reasons, "Nothing was changed.")
    says = {"measure": measure, "target": target, "reason": as_sentence(reason), **by.signature(product)}

    def stands(plan: Plan) -> Fact | None:
        before = [f for f in plan.history if f.payload["measure"] == measure]
        if target is None and (not before or before[-1].payload["target"] is None):
            raise NotYetAllowedError(f"target of {product}", f"{measure} has none that could be lifted.")
        same = before and (before[-1].payload["target"], before[-1].payload["reason"]) == (target, says["reason"])
        return before[-1] if same else None

    return _said(office, product, _TARGET, says, stands)


def agree_action(
    office: Office, product: str, text: str, owner: str, due: date, by: Speaker, *, measure: str = ""
) -> Fact:
    """Agree on something that somebody is to do until a day; the same again, while it is open, is one.

    Raises:
        RefusedError: it says too little, its day has passed, or it comes from somebody else.
    """
    reasons = by.reasons_against(product, "agree on what is to be done")
    if not reasons:
        reasons = reasons_against_action(text, owner, due, measure, standing_plan(office.facts, product), office.now)
    if reasons:
        raise RefusedError(f"action for {product}", reasons, "Nothing was put on record.")
    wanted = {"text": as_sentence(text), "owner": owner, "due": due.isoformat(), "measure": measure}

    def stands(plan: Plan) -> Fact | None:
        still_open = {str(a.number) for a in plan.actions if a.ended_at is None}
        known = _facts_of(office.facts, product, _AGREED)
        return next((f for f in known if f.occasion in still_open and wanted.items() <= f.payload.items()), None)

    return _said(office, product, _AGREED, {**wanted, **by.signature(product)}, stands)


def end_action(office: Office, product: str, number: int, text: str, by: Speaker, *, done: bool) -> Fact:
    """Say that an action was done, or will not be, and in both cases more; the first word on it stands.

    Raises:
        NotYetAllowedError: there is no such action.
        RefusedError: it has ended in another way, nothing is said, or it comes from somebody else.
    """
    about = f"action {number} for {product}"
    reasons = by.reasons_against(product, "say how its actions end")
    if not reasons:
        reasons = tuple(why.replace("The reason", "What is said of it") for why in reasons_against_reason(text))
    if reasons:
        raise RefusedError(about, reasons, "Nothing was changed.")
    if not any(a.number == number for a in standing_plan(office.facts, product).actions):
        raise NotYetAllowedError(about, "is not on record.", "Look at the product's page.")
    payload = {"done": done, "text": as_sentence(text), **by.signature(product)}
    office.facts.record(Fact(RECORD, _ENDED, product, str(number), office.now, office.actor, payload))
    ended = next(f for f in _facts_of(office.facts, product, _ENDED) if f.occasion == str(number))
    if bool(ended.payload["done"]) is not done:
        how = "done" if ended.payload["done"] else "not done"
        raise RefusedError(about, (f"It ended on {ended.at:%Y-%m-%d %H:%M} UTC already, as {how}.",))
    return ended


def hold_review(office: Office, product: str, text: str, releases: Sequence[Release], by: Speaker) -> Fact:
    """Keep what was seen: the numbers, the targets beside them, and where the actions stood, with a conclusion.

    Args:
        releases: the newest, oldest first (`measures.LAST`).

    Raises:
        RefusedError: it concludes nothing, or comes from somebody else.
    """
    reasons = by.reasons_against(product, "review it")
    reasons = reasons or tuple(why.replace("The reason", "The conclusion") for why in reasons_against_reason(text))
    if reasons:
        raise RefusedError(f"review of {product}", reasons, "Nothing was put on record.")
    said = as_sentence(text)

    def stands(plan: Plan) -> Fact | None:
        known = [f for f in _facts_of(office.facts, product, _REVIEW) if office.now - f.at < SAME_WITHIN]
        same = (f for f in known if (f.payload["text"], f.payload["user"]) == (said, by.user))
        return next(same, None)

    plan = standing_plan(office.facts, product)
    saw = seen(plan, releases, office)
    return _said(office, product, _REVIEW, {"text": said, **saw, **by.signature(product)}, stands)


def seen(plan: Plan, releases: Sequence[Release], office: Office) -> dict[str, Any]:
    """What a review keeps: small, and complete without anything else."""
    return {
        "releases": [
            {
                "patch": r.patch,
                "software": r.software,
                "begun_at": r.begun_at.isoformat(),
                "values": {
                    key: {**value.as_data(), "verdict": plan.judged(r, key).value} for key, value in r.values.items()
                },
            }
            for r in releases
        ],
        "together": {key: _summed(plan, releases, key) for key in MEASURES},
        "actions": [
            {
                "number": a.number,
                "text": a.text,
                "owner": a.owner,
                "due": a.due.isoformat(),
                "state": a.state(office.now),
                "said": a.said,
            }
            for a in plan.actions
            if a.ended_at is None or not plan.reviews or a.ended_at > plan.reviews[-1].at
        ],
    }


def _summed(plan: Plan, releases: Sequence[Release], key: str) -> dict[str, Any]:
    found, target = together(key, (r.values[key] for r in releases)), plan.target(key)
    verdicts = [plan.judged(r, key).value for r in releases]
    return {
        "number": None if found.number is None else round(found.number, 4),
        "part": found.part,
        "whole": found.whole,
        "measured": found.measured,
        "waiting": found.waiting,
        "not_measured": found.not_measured,
        "target": target and target.target,
        "met": verdicts.count("met"),
        "missed": verdicts.count("missed"),
    }


def _facts_of(facts: Facts, product: str, kind: FactKind) -> list[Fact]:
    return [f for f in facts.about([RECORD], product)[RECORD].facts if f.kind is kind and f.subject == product]


def _said(
    office: Office, product: str, kind: FactKind, says: Mapping[str, Any], stands: Callable[[Plan], Fact | None]
) -> Fact:
    """Put it on record, once; of what stands already, the fact that has said it is returned."""
    opening = {"path": RolloutPath.QUALITY.value, "patch": 0}
    opened = Fact(RECORD, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, opening)
    office.facts.open(RolloutPath.QUALITY, 0, opened, RECORD)
    while True:
        if before := stands(standing_plan(office.facts, product)):
            return before
        number = 1 + len(_facts_of(office.facts, product, kind))
        fact = Fact(RECORD, kind, product, str(number), office.now, office.actor, says)
        if office.facts.record(fact):
            return fact
        # somebody else has said something of this product in this instant
