"""What is measured of an installation for those who watch it: names, words, labels (docs/adr/0042).

A label's value is one of few: a path, a stage, a state, a class of failures, a channel, a product and version that is
open now. No site, no person and no free text is in one: what is collected here is kept elsewhere, by others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that is looked at now and then. Dashboards and alerts hold its name: never rename."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def at(self, value: float, *labels: str) -> Sample:
        """Its value now, for these values of its labels."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}")
        return Sample(self, float(value), labels)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a gauge."""

    gauge: Gauge
    value: float
    labels: tuple[str, ...]


ROLLOUTS = Gauge("pps_rollouts_open", "Open rollouts, by path and by where they stand.", ("path", "stage"))
SITES = Gauge(
    "pps_preview_sites",
    "Sites of open previews, by state; those that were reached are installed, configured, tested, tagged or available.",
    ("product", "version", "state"),
)
FAILED = Gauge(
    "pps_preview_sites_failed",
    "Sites at which an open preview did not arrive well, by class of reasons.",
    ("product", "version", "reason"),
)
QUESTIONS = Gauge("pps_questions_open", "Questions to people whose answer would still decide.", ("path",))
OVERDUE = Gauge(
    "pps_questions_overdue", "Questions to people that are past their date, and not ended as silence.", ("path",)
)
SILENT = Gauge(
    "pps_vos_silent", "VOs that were asked in an open rollout, and have said nothing by the agreed date.", ("path",)
)
WAITING = Gauge("pps_outbox_waiting", "Messages in the outbox that have not left.", ("channel",))
OLDEST = Gauge("pps_outbox_oldest_seconds", "For how long the oldest of them waits; 0: none does.", ("channel",))
UNTRIED = Gauge(
    "pps_outbox_due_seconds",
    "For how long a message has been due that nobody tries to send; 0: there is none.",
    ("channel",),
)
NIGHT = Gauge("pps_night_seconds", "Since the last night (nightly distribution) ended.")
NIGHT_FAILED = Gauge("pps_night_failed", "Whether the last night that has ended has failed.")
BACKUP = Gauge("pps_backup_seconds", "Since the last backup.")
SIGNATURES = Gauge(
    "pps_signatures_valid_seconds",
    "For how long the first index of ours to expire is still believed; not above 0: it is refused already.",
    ("repositories",),
)
TRACKER = Gauge("pps_tracker_seconds", "Since the tracker has last answered.")
TRACKER_MISSED = Gauge("pps_tracker_missed_seconds", "Since the tracker does not answer; 0: it does.")
UNREAD = Gauge(
    "pps_unread", "1 where a part of all this could not be read now, so that its numbers are missing.", ("part",)
)

GAUGES = (
    *(ROLLOUTS, SITES, FAILED, QUESTIONS, OVERDUE, SILENT, WAITING, OLDEST, UNTRIED, NIGHT, NIGHT_FAILED),
    *(BACKUP, SIGNATURES, TRACKER, TRACKER_MISSED, UNREAD),
)


def by_gauge(samples: Iterable[Sample]) -> dict[Gauge, list[Sample]]:
    """All gauges in their order, with what was seen of each."""
    found: dict[Gauge, list[Sample]] = {gauge: [] for gauge in GAUGES}
    for sample in samples:
        found[sample.gauge].append(sample)
    return found
