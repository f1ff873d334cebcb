"""How products do, as page, report, API and command show it: what was planned, what was measured, what was agreed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pps.activities.quality.measures import Period
from pps.domain.people.providers import Provider, provider_of
from pps.domain.quality.measures import MEASURES, Measure, Value, together
from pps.domain.quality.measures_of_release import Release
from pps.domain.quality.measures_plan import Action, Plan, TargetVerdict
from pps.domain.record.facts import Fact


def product_view(
    plan: Plan, releases: Sequence[Release], providers: Iterable[Provider], period: Period, now: datetime
) -> dict[str, Any]:
    """One product, for JSON; moments are in ISO 8601, and releases come with the newest first.

    Args:
        releases: oldest first.
    """
    provider = provider_of(providers, plan.product)
    return {
        "product": plan.product,
        "provider": provider.name if provider else None,
        **_period(period),
        "measures": [_measure(m, plan, releases) for m in MEASURES.values()],
        "releases": [release_view(r, plan) for r in reversed(releases)],
        "actions": [_action(a, now) for a in sorted(plan.actions, key=lambda a: (a.ended_at is not None, a.due))],
        "targets": [_target(f) for f in reversed(plan.history)],
        "reviews": [
            {"number": r.number, "at": _iso(r.at), "user": r.user, "role": r.role, "text": r.text}
            for r in reversed(plan.reviews)
        ],
    }


def release_view(release: Release, plan: Plan, *, whole: bool = False) -> dict[str, Any]:
    """One release with its numbers.

    Args:
        whole: with the facts that they count (`Ledger.whole`).
    """
    return {
        "patch": release.patch,
        "software": release.software,
        "metapackage": release.metapackage,
        "version": release.version,
        "service_type": release.service_type or None,
        "begun_at": _iso(release.begun_at),
        "begun_with": release.begun_with.value,
        "in_production": release.in_production,
        "is_open": release.is_open,
        "rollouts": list(release.rollouts),
        "values": {key: _value(value, plan, release, whole=whole) for key, value in release.values.items()},
    }


def summary_view(
    products: Mapping[str, tuple[Plan, Sequence[Release]]],
    providers: Sequence[Provider],
    period: Period,
    now: datetime,
    provider: str = "",
) -> dict[str, Any]:
    """All products that somebody may see, and those of each provider together, in one period."""
    rows, by_provider = [], dict[str, dict[int, Release]]()
    for product, (plan, releases) in sorted(products.items(), key=lambda item: item[0].casefold()):
        whose = provider_of(providers, product)
        name = whose.name if whose else None
        if provider and name != provider:
            continue
        if name:
            by_provider.setdefault(name, {}).update({r.patch: r for r in releases})
        verdicts = [plan.judged(r, key) for r in releases for key in MEASURES]
        still_open = [a for a in plan.actions if a.ended_at is None]
        rows.append(
            {
                "product": product,
                "provider": name,
                "releases": len(releases),
                "together": {key: _together(key, releases) for key in MEASURES},
                "met": verdicts.count(TargetVerdict.MET),
                "missed": verdicts.count(TargetVerdict.MISSED),
                "targets": sum(plan.target(key) is not None for key in MEASURES),
                "actions_open": len(still_open),
                "actions_overdue": sum(a.is_overdue(now) for a in still_open),
                "reviewed_at": _iso(plan.reviews[-1].at) if plan.reviews else None,
            }
        )
    found = {name: list(releases.values()) for name, releases in sorted(by_provider.items())}
    return {
        **_period(period),
        "products": rows,
        "providers": [
            {
                "provider": name,
                "releases": len(releases),
                "together": {key: _together(key, releases) for key in MEASURES},
            }
            for name, releases in found.items()
        ],
    }


def table(releases: Sequence[Release], plan: Plan) -> tuple[list[str], list[list[object]]]:
    """Header and rows for spreadsheets: of each measure the number, or why there is none; the newest release first."""
    columns = ["patch", "software", "begun_at", "in_production"]
    columns += [f"{key} ({m.unit.value})" for key, m in MEASURES.items()]
    rows: list[list[object]] = []
    for r in reversed(releases):
        values = [v.state.value if v.number is None else round(v.number, 4) for v in r.values.values()]
        rows.append([r.patch, r.software, _iso(r.begun_at), "yes" if r.in_production else "no", *values])
    return columns, rows


def _period(period: Period) -> dict[str, Any]:
    return {
        "since": period.since.isoformat() if period.since else None,
        "until": period.until.isoformat() if period.until else None,
    }


def _measure(measure: Measure, plan: Plan, releases: Sequence[Release]) -> dict[str, Any]:
    target, verdicts = plan.target(measure.key), [plan.judged(r, measure.key) for r in releases]
    return {
        "key": measure.key,
        "title": measure.title,
        "unit": measure.unit.value,
        "better": measure.better.value,
        "what": measure.what,
        "source": measure.source,
        "together": _together(measure.key, releases),
        "target": target
        and {
            "target": target.target,
            "words": target.words,
            "since": _iso(target.since),
            "user": target.user,
            "role": target.role,
            "reason": target.reason,
        },
        "met": verdicts.count(TargetVerdict.MET),
        "missed": verdicts.count(TargetVerdict.MISSED),
    }


def _together(key: str, releases: Sequence[Release]) -> dict[str, Any]:
    found = together(key, (r.values[key] for r in releases))
    return {
        "number": None if found.number is None else round(found.number, 4),
        "part": found.part,
        "whole": found.whole,
        "words": found.words,
        "measured": found.measured,
        "waiting": found.waiting,
        "not_measured": found.not_measured,
    }


def _value(value: Value, plan: Plan, release: Release, *, whole: bool) -> dict[str, Any]:
    target = plan.target(value.key, release.begun_at)
    data: dict[str, Any] = {
        **value.as_data(),
        "words": value.words,
        "verdict": plan.judged(release, value.key).value,
        "target": target.target if target else None,
        "rollouts": list(value.records),
    }
    if whole:
        data["counted"] = [
            {"rollout": c.rollout, "kind": c.kind, "subject": c.subject, "at": _iso(c.at)} for c in value.counted
        ]
        data["among"] = list(value.among)
    return data


def _action(action: Action, now: datetime) -> dict[str, Any]:
    return {
        "number": action.number,
        "text": action.text,
        "owner": action.owner,
        "due": action.due.isoformat(),
        "measure": action.measure,
        "state": action.state(now),
        "agreed_at": _iso(action.agreed_at),
        "user": action.user,
        "role": action.role,
        "ended_at": _iso(action.ended_at) if action.ended_at else None,
        "said": action.said,
    }


def _target(fact: Fact) -> dict[str, Any]:
    says = fact.payload
    keys = ("measure", "target", "reason", "user", "role")
    return {"number": int(fact.occasion), "at": _iso(fact.at), **{key: says[key] for key in keys}}


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
