"""What services of the infrastructure show, and how they answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pps.domain.sites.endpoints import Endpoint, PublishedService
from pps.domain.sites.probes import ProbeResult, ProbeState


class InformationSystem(Protocol):
    """The BDII, as users see it."""

    def tags_of(self, subclusters: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """RunTimeEnvironment tags of each SubCluster, in one query; one that is not published is missing.

        `ServiceError` when the BDII does not answer in time.
        """

    def services_of(self, hosts: Iterable[str]) -> Mapping[str, tuple[PublishedService, ...]]:
        """The services whose endpoint is at each of these hosts (GlueService); a host without any has none.

        `ServiceError` as above.
        """


class Matchmaker(Protocol):
    """Matches a JDL against a computing element, as the WMS does."""

    def matches(self, requirement: str, tags: Sequence[str]) -> bool:
        """Tell whether `Requirements = ...;` holds for a CE whose SubCluster shows these tags."""


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """What a service said when we knocked."""

    result: ProbeResult
    version: str = ""
    """as the service itself tells it; "" where it tells none"""

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
