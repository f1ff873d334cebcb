"""The desk that steps, forms and waits work at: an activity's desk, with the installation behind it.

It knows no Airflow: time, actor and secrets are handed in by whoever opens it (`orchestration.runtime` within a task,
a command, a page, a test).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pps.activities.desk import Desk, Office
from pps.activities.packages.advice import look_at_advice
from pps.activities.packages.embargo import whole
from pps.activities.packages.tracker_states import StatesTold, tell_states
from pps.activities.people.outbox import Emptied, empty_outbox
from pps.activities.pilots.tickets import tell_tracker
from pps.activities.ports.tracker import Tracker
from pps.activities.quality.bugs import look_at_bugs
from pps.config.loader import Configuration
from pps.config.policy_models import Policies
from pps.domain.base.errors import RolloutError
from pps.domain.people import questions
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site
from pps.services import Services

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class FrontOffice(Office):
    """An office with the services of the installation: for steps that are about no single rollout."""

    services: Services

    @classmethod
    def of(cls, services: Services, clock: Callable[[], datetime], actor: str) -> FrontOffice:
        """Open it with these services; whoever opened them closes them."""
        return cls(
            facts=services.facts,
            templates=services.templates,
            clock=clock,
            now=clock(),
            actor=actor,
            patch_of=services.patch,
            by_all_channels=services.by_all_channels,
            services=services,
        )

    def desk(self, rollout: str | Rollout) -> FrontDesk:
        """Open a desk for a rollout, by its name or its record."""
        return self._opened(FrontDesk, rollout)

    @property
    def config(self) -> Configuration:
        """config/ as it stands."""
        return self.services.config

    @property
    def policies(self) -> Policies:
        """policies.yaml as it stands."""
        return self.services.config.policies

    def site(self, name: str) -> Site | None:
        """A site of the registry; one that has left it is no longer ours to touch."""
        return self.services.config.sites.get(name)

    def send(self) -> Emptied:
        """Send what waits in the outbox; what cannot be sent now stays in it for the next sender."""
        s = self.services
        return empty_outbox(whole(self.facts), s.mailer, self.clock, channels=s.channels, insiders=s.insiders)

    def tell_tracker(self, patch: int | None = None) -> StatesTold:
        """Of one patch, or of all: open and close trouble tickets, and move what is released to `In production`.

        What cannot be told now is told the next time.
        """
        if (tracker := self._tracker()) is None:
            return StatesTold()
        tell_tracker(self, tracker, patch=patch)
        return tell_states(self, tracker, patch=patch)

    def look_at_bugs(self) -> None:
        """Record what the tracker says of bugs; where it does not answer, the next time."""
        if (tracker := self._tracker()) is not None:
            look_at_bugs(self, tracker)

    def look_at_advice(self) -> None:
        """Record what the tracker says of vulnerabilities; where it does not answer, the next time."""
        if (tracker := self._tracker()) is not None:
            look_at_advice(self, tracker)

    def _tracker(self) -> Tracker | None:
        """None where tracker.yaml is wrong: mails and pilots do not wait for it, and `pps doctor` says so."""
        try:
            return self.services.tracker
        except RolloutError as error:
            log.warning("No tracker: %s", error)
            return None

    def write_bulletin(self) -> None:
        """Write the release bulletin anew (SD 4.1.1, step 5)."""
        self.services.write_bulletin(self.clock())


@dataclass(kw_only=True)
class FrontDesk(Desk, FrontOffice):
    """The desk of one rollout, with the services of the installation."""

    def due(self, step: str, about: str, otherwise: datetime) -> datetime:
        """Until when a question can be answered: the date with which it was put, else `otherwise`."""
        put = questions.question(self.rollout, step, about)
        return put.due if put else otherwise
