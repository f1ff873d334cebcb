"""The one table of paths: the DAG of each, what starts it, and the section of the service description that it walks.

No other place in the product knows a DAG's name, except the DAG itself. Every DAG of ours is here: a start that has no
form would go unchecked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pps.domain.record.rollouts import RolloutPath
from pps.workflow import start_forms
from pps.workflow.start_forms import Schema


@dataclass(frozen=True, slots=True)
class Start:
    """What starts a DAG, and what comes of it."""

    path: RolloutPath | None = None
    """of the rollouts that it opens; None if it opens none"""
    schema: Schema = field(default_factory=dict)
    """of its conf"""
    section: str = ""
    """of the service description (SD)"""


WITHDRAW, OVERRULE, NIGHT, REMINDERS = "withdraw_rollout", "overrule_policies", "nightly_distribution", "reminders"
RETRY, WINDOWS = "retry_sites", "window_distribution"

STARTS: Mapping[str, Start] = {
    "bc_client_update": Start(RolloutPath.BC_CLIENT, start_forms.CLIENT_UPDATE, "4.1.1"),
    "non_bc_client_update": Start(RolloutPath.NON_BC_CLIENT, start_forms.CLIENT_UPDATE, "4.1.2"),
    "pre_deployment_test": Start(RolloutPath.PRE_DEPLOYMENT, start_forms.DEPLOYMENT_TEST, "4.2.2"),
    "release_testing": Start(RolloutPath.RELEASE_TEST, start_forms.RELEASE_TEST, "4.2.3"),
    "minor_server_pilot": Start(RolloutPath.MINOR_PILOT, start_forms.PILOT, "4.1.3"),
    "major_server_pilot": Start(RolloutPath.MAJOR_PILOT, start_forms.PILOT, "4.1.3"),
    OVERRULE: Start(RolloutPath.OVERRULE, start_forms.OVERRULING, "4.1.3"),
    WITHDRAW: Start(None, start_forms.WITHDRAWAL, "4.1.1"),
    RETRY: Start(None, start_forms.RETRY, "4.1.1"),
    NIGHT: Start(None, section="4.1.1"),
    REMINDERS: Start(None, section="4.1.3"),
    WINDOWS: Start(None, section="4.1.1"),
}

_DAGS = {start.path: dag for dag, start in STARTS.items() if start.path}


def dag_of(path: str) -> str:
    """The DAG that walks a path; `ValueError` if it is no path, `KeyError` for a dossier, which no DAG makes."""
    return _DAGS[RolloutPath(path)]
