"""The one table of waits: what is waited for, how often it is asked, and under whose name the answer is recorded.

A wait is a question to the facts and the world that is asked afresh each time. Its name is stored with each trigger
that is parked in Airflow: never rename, only add.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pps.config.policy_models import Policies
from pps.workflow.clients import waits as clients
from pps.workflow.desk import FrontDesk, FrontOffice
from pps.workflow.pilots import waits as pilots
from pps.workflow.quality import waits as quality


@dataclass(frozen=True, slots=True)
class Wait:
    """One row. `holds` gets the desk of `rollout` and the other arguments; without a `rollout`, the office."""

    holds: Callable[..., bool]
    every: Callable[[Policies], timedelta]
    seen_by: str = "wait"
    """who stands behind the facts that come of it"""

    def is_over(self, office: FrontOffice, **arguments: object) -> bool:
        """Ask it now."""
        at: FrontDesk | FrontOffice = office
        if "rollout" in arguments:
            at = office.desk(str(arguments.pop("rollout")))
        return self.holds(at, **arguments)


def _publication(p: Policies) -> timedelta:
    return p.publication.check_every


def _withdrawal(p: Policies) -> timedelta:
    return p.withdrawal.check_every


def _deployment_test(p: Policies) -> timedelta:
    return p.deployment_test.check_every


def _pilots(p: Policies) -> timedelta:
    return p.pilots.check_every


WAITS: dict[str, Wait] = {
    "feedback_is_over": Wait(clients.feedback_is_over, lambda p: p.feedback.check_every),
    "certification_is_over": Wait(
        clients.certification_is_over, lambda p: p.certification.check_every, "certification"
    ),
    "may_go_on": Wait(clients.may_go_on, lambda p: p.distribution.check_every),
    "preview_is_offered": Wait(clients.preview_is_offered, lambda p: p.local_configuration.check_every),
    "tags_are_seen": Wait(clients.tags_are_seen, _publication, "information system"),
    "tags_are_gone": Wait(clients.tags_are_gone, _withdrawal, "information system"),
    "retired_tags_are_gone": Wait(clients.retired_tags_are_gone, _withdrawal, "information system"),
    "deployment_test_is_over": Wait(quality.deployment_test_is_over, _deployment_test),
    "deployment_test_is_renewed": Wait(quality.deployment_test_is_renewed, _deployment_test),
    "pilot_is_set_up": Wait(pilots.pilot_is_set_up, _pilots, "service probe"),
    "pilot_run_is_over": Wait(pilots.pilot_run_is_over, lambda p: p.pilots.probe_every, "service probe"),
    "pilot_is_rolled_back": Wait(pilots.pilot_is_rolled_back, _pilots, "service probe"),
    "vos_may_begin": Wait(pilots.vos_may_begin, _pilots),
    "vos_are_heard": Wait(pilots.vos_are_heard, _pilots),
    "pilot_ends_at_site": Wait(pilots.pilot_ends_at_site, _pilots),
}
