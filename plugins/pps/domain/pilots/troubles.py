"""What providers and operations get a trouble ticket for: failed deployment tests, and incidents of pilots.

A view of facts: which tickets there should be, and which of them are mended. Who opens them, and that it was done, is
`activities.pilots.tickets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pps.domain.base.texts import one_line
from pps.domain.pilots import looks
from pps.domain.quality.scenarios import ScenarioResult, planned_scenarios, scenario_end, scenario_result
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PILOTS, Rollout, RolloutPath


@dataclass(frozen=True, slots=True)
class Trouble:
    """One ticket."""

    marker: str
    """unique, and the same whenever it is looked for: one line without blanks"""
    patch: int
    title: str
    text: str
    mended: str
    """why it is over; "" while it is not"""


def troubles(records: Iterable[Rollout]) -> tuple[Trouble, ...]:
    """The tickets that the records of one patch give rise to, in the records' order (oldest first)."""
    records = tuple(records)
    tests = [r for r in records if r.path == RolloutPath.PRE_DEPLOYMENT]
    found = [t for number, r in enumerate(tests) for t in _of_test(r, tests[number + 1 :])]
    return (*found, *(t for r in records if r.path in PILOTS for t in _of_pilot(r)))


def _of_test(record: Rollout, later: Sequence[Rollout]) -> tuple[Trouble, ...]:
    """One for a test that has ended with failures; mended when later tests have passed each of these scenarios."""
    if not record.is_closed:
        return ()
    failed = [s for s in planned_scenarios(record) if scenario_result(record, s.name) is ScenarioResult.FAIL]
    if not failed:
        return ()
    opened = record.opened
    lines = []
    for scenario in failed:
        end = scenario_end(record, scenario.name)
        reason = one_line(str(end.payload.get("reason", "")) if end else "", 500)
        lines.append(f"- {scenario.name} ({scenario.platform}): {reason}")
    count = "one scenario" if len(failed) == 1 else f"{len(failed)} scenarios"
    what = f"{opened['metapackage']} {opened['version']} (patch {record.patch_number})"
    passed = {
        s.name: next((r.name for r in later if scenario_result(r, s.name) is ScenarioResult.PASS), "") for s in failed
    }
    mended = f"Passed in {', '.join(sorted(set(passed.values())))}." if all(passed.values()) else ""
    return (
        Trouble(
            f"pps:deployment-test:{record.name}",
            record.patch_number,
            one_line(f"Deployment test of {what}: {count} failed", 200),
            f"Deployment test {record.name} of {what}:\n\n" + "\n".join(lines),
            mended,
        ),
    )


def _of_pilot(record: Rollout) -> tuple[Trouble, ...]:
    """One for each incident; mended when the service answers again."""
    found = []
    what = f"{record.opened['metapackage']} {record.opened['version']} (patch {record.patch_number})"
    sites = dict.fromkeys(f.subject for f in record.facts if f.kind is FactKind.SERVICE_SET_UP)
    for site in sites:
        for outage in looks.incidents(record, site):
            found.append(
                Trouble(
                    f"pps:incident:{record.name}:{site}:{outage.began:%Y%m%dT%H%M%SZ}",
                    record.patch_number,
                    one_line(f"Incident at {site}: {what}", 200),
                    f"Pilot {record.name}, {what}: no good answer from {site} since {_moment(outage.began)}.\n\n"
                    f"{one_line(outage.text, 500)}",
                    f"It answers again since {_moment(outage.ended)}." if outage.ended else "",
                )
            )
    return tuple(found)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
