"""What the run of a pilot needs from the world, beside `ports`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pps.domain.sites.endpoints import Endpoint
from pps.domain.sites.probes import ProbeResult, ProbeState


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """What a service said when we knocked."""

    result: ProbeResult
    version: str = ""
    """as the service itself says it; "" where it says none"""

    @property
    def answers(self) -> bool:
        """Tell whether it answers: a warning does."""
        return self.result.state in (ProbeState.OK, ProbeState.WARNING)


class ServiceProbes(Protocol):
    """Knocks at services, as their users would."""

    def look(self, endpoint: Endpoint) -> ServiceAnswer:
        """Does it answer, and with which version? Every trouble is an answer, none an exception.

        CRITICAL: it does not answer as it should. UNKNOWN: that cannot be judged from here.
        """
