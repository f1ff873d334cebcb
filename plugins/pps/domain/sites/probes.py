"""Results of probes, in the Nagios convention."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ProbeState(IntEnum):
    """Exit code of a Nagios plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe said: `STATE - text|perfdata`."""

    probe: str
    state: ProbeState
    text: str
    perfdata: str = ""

    @property
    def line(self) -> str:
        """The plugin's one line of output."""
        return f"{self.state.name} - {self.text}" + (f"|{self.perfdata}" if self.perfdata else "")


def reasons_against_tag(results: tuple[ProbeResult, ...]) -> tuple[str, ...]:
    """Say why a site's preview must not be announced; no reasons means that its probes passed.

    A warning passes. UNKNOWN does not: a probe that could not judge has not passed (SD 4.1.1 puts
    local testing before the tag).
    """
    if not results:
        return ("No probe was run.",)
    return tuple(
        f"Probe {r.probe} is {r.state.name}: {r.text}"
        for r in results
        if r.state in (ProbeState.CRITICAL, ProbeState.UNKNOWN)
    )
