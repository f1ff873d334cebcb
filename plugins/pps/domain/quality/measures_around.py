"""What is measured of a release beside others: the version before it, and what its provider's desk tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from pps.domain.quality.comparison import Beside, beside
from pps.domain.quality.measures import MEASURES, Counted, Value, ValueState, not_measured, ratio
from pps.domain.quality.measures_of_release import Begin, Release, counted
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import PREVIEWS

_DAY = timedelta(days=1)


def beside_before(release: Release, before: Release | None) -> Release:
    """The same with what is measured beside the version before.

    Args:
        before: the release of the version before (`patch_before`); None: there is none.
    """
    key, records = "regressions", release.values["probe-failures"].records
    if release.previewed_at is None:
        value = not_measured(key, "It had no preview.")
    elif before is None or not before.probes:
        value = not_measured(key, "No version before it was probed.", records)
    else:
        both = sorted(release.probes.keys() & before.probes.keys())
        worse = [
            counted(fact) if fact else Counted("", "", site, release.begun_at)
            for site in both
            for fact, ill in [release.probes[site]]
            if ill and beside(ill, before.probes[site][1]).beside is Beside.REGRESSION
        ]
        failures = release.values["probe-failures"]
        waits = failures.why if failures.state is ValueState.WAITING else ""
        value = ratio(key, worse, both, records, waits=waits)
    ordered = {**release.values, key: value}
    return replace(release, values={k: ordered[k] for k in MEASURES})


def submitted(release: Release, first: datetime | None) -> Release:
    """The same of a release that its provider has submitted: no waiver on record means then that there is none.

    Args:
        first: when it was first submitted, whatever became of it then; its times begin with it. None: nobody knows.
    """
    values = dict(release.values)
    if values["waived-findings"].state is not ValueState.MEASURED:
        values["waived-findings"] = Value("waived-findings", ValueState.MEASURED, 0.0)
    if first is None or first > release.begun_at:
        return replace(release, values=values)
    for key in ("time-to-preview", "time-to-production"):
        value = values[key]
        if value.number is not None:
            values[key] = replace(value, number=value.number + (release.begun_at - first) / _DAY)
    return replace(release, values=values, begun_at=first, begun_with=Begin.SUBMISSION)


def patch_before(release: Release, openings: Iterable[Fact]) -> int | None:
    """The patch of the version before: of the same metapackage, another version, its newest preview older than ours.

    Args:
        openings: facts of the kind ROLLOUT_OPENED, of any rollouts, newest first (of two at once the higher patch).
    """
    for fact in openings:
        says = fact.payload
        is_other = says["patch"] != release.patch and says.get("version") != release.version
        is_older = release.previewed_at is not None and fact.at < release.previewed_at
        is_preview = says.get("path") in PREVIEWS and says.get("metapackage") == release.metapackage
        if is_other and is_older and is_preview:
            return int(says["patch"])
    return None
