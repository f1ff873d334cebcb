"""The forms with which operators, and certification by REST, start a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from pps.activities.release.overruling import SHORTEST_REASON
from pps.domain.base.names import NAME_JSON_PATTERN
from pps.domain.base.texts import LONGEST_REASON
from pps.domain.people.overruling import Urgency
from pps.domain.record.rollouts import RolloutPath

#: Also the strict schema that `pps.web.start_check` holds a caller's conf against.
CLIENT_UPDATE_SCHEMA: dict[str, dict[str, Any]] = {
    "patch": {
        "type": "integer",
        "minimum": 1,
        "maximum": 999_999_999,
        "title": "Patch",
        "description": "Number of the patch in the tracker. It must be “In certification” and flagged by SA3.",
    },
    "feedback_until": {
        "type": ["null", "string"],
        "format": "date-time",
        "default": None,
        "title": "Feedback until",
        "description": "Agreed date until which VOs may answer, with time zone. "
        "Empty: now + `feedback.open_for` of policies.yaml.",
    },
    "vos": {
        "type": ["null", "array"],
        "items": {"type": "string", "pattern": NAME_JSON_PATTERN},
        "maxItems": 200,
        "uniqueItems": True,
        "default": None,
        "title": "VOs to invite",
        "description": "Names as in people.yaml, one a line. Empty: all of them.",
    },
}

DEPLOYMENT_TEST_SCHEMA: dict[str, dict[str, Any]] = {
    "patch": {
        "type": "integer",
        "minimum": 1,
        "maximum": 999_999_999,
        "title": "Patch",
        "description": "Number of the patch in the tracker. It must be “In certification” or “Certified”.",
    },
}


OVERRULING_SCHEMA: dict[str, dict[str, Any]] = {
    "patch": CLIENT_UPDATE_SCHEMA["patch"]
    | {"description": "Number of the patch in the tracker: a fix for a critical bug or a vulnerability."},
    "urgency": {
        "type": "string",
        "enum": [urgency.value for urgency in Urgency],
        "default": Urgency.URGENT.value,
        "title": "Urgency",
        "description": "urgent: to preview and production together. high priority: straight to production, the "
        "preview is synchronised afterwards.",
    },
    "reason": {
        "type": "string",
        "minLength": SHORTEST_REASON,
        "maxLength": 5000,
        "format": "multiline",
        "title": "Justification",
        "description": "Why the policies cannot be kept. It stands in release notes and bulletin.",
    },
}


RELEASE_TEST_SCHEMA: dict[str, dict[str, Any]] = {
    "patch": CLIENT_UPDATE_SCHEMA["patch"]
    | {"description": "Number of the patch in the tracker. It must be “Certified” or “Ready for production”."},
    "pools": {
        "type": ["null", "array"],
        "items": {"type": "string", "pattern": NAME_JSON_PATTERN},
        "minItems": 1,
        "maxItems": 200,
        "uniqueItems": True,
        "default": None,
        "title": "Pools",
        "description": "Names as in pools.yaml, one a line. Empty: all of them.",
    },
}

#: As above, for `withdraw_rollout`.
WITHDRAWAL_SCHEMA: dict[str, dict[str, Any]] = {
    "rollout": {
        "type": "string",
        "pattern": NAME_JSON_PATTERN,
        "title": "Rollout",
        "description": "Name of the rollout whose preview is to leave the sites, e.g. bc-client-4711-1. "
        "It may be under way, or have ended.",
    },
    "reason": {
        "type": "string",
        "minLength": 1,
        "maxLength": LONGEST_REASON,
        "title": "Reason",
        "description": "A sentence that users and sites will understand: they are told.",
    },
}

#: Of a request for a pilot (SD 4.1.3, 1).
PILOT_SCHEMA: dict[str, dict[str, Any]] = {
    "patch": CLIENT_UPDATE_SCHEMA["patch"] | {"description": "Number of a server update in the tracker."},
    "scope": {
        "type": "string",
        "minLength": 1,
        "maxLength": LONGEST_REASON,
        "format": "multiline",
        "title": "Scope",
        "description": "Use cases, scope and goals of the pilot, in a sentence at least.",
    },
    "vo": {
        "type": ["null", "string"],
        "pattern": NAME_JSON_PATTERN,
        "default": None,
        "title": "VO",
        "description": "The VO that asks, as in people.yaml. Empty: the EMT does, for ITR or the developers.",
    },
    "justification": {
        "type": ["null", "string"],
        "maxLength": LONGEST_REASON,
        "format": "multiline",
        "default": None,
        "title": "Justification",
        "description": "Why software that is not certified is used; needed for such, and put on record.",
    },
    "continues": {
        "type": ["null", "string"],
        "pattern": NAME_JSON_PATTERN,
        "default": None,
        "title": "Continues",
        "description": "Of another round: name of the pilot that the wrap-up has prolonged. The scheduler fills it in.",
    },
}

#: DAG -> (schema of its conf, path of the rollouts that it opens; "" if it opens none). Every DAG of ours is here:
#: a start that has no form would go unchecked.
STARTS: Mapping[str, tuple[Mapping[str, dict[str, Any]], str]] = {
    "bc_client_update": (CLIENT_UPDATE_SCHEMA, RolloutPath.BC_CLIENT),
    "non_bc_client_update": (CLIENT_UPDATE_SCHEMA, RolloutPath.NON_BC_CLIENT),
    "pre_deployment_test": (DEPLOYMENT_TEST_SCHEMA, RolloutPath.PRE_DEPLOYMENT),
    "release_testing": (RELEASE_TEST_SCHEMA, RolloutPath.RELEASE_TEST),
    "minor_server_pilot": (PILOT_SCHEMA, RolloutPath.MINOR_PILOT),
    "major_server_pilot": (PILOT_SCHEMA, RolloutPath.MAJOR_PILOT),
    "overrule_policies": (OVERRULING_SCHEMA, RolloutPath.OVERRULE),
    "withdraw_rollout": (WITHDRAWAL_SCHEMA, ""),
    "nightly_distribution": ({}, ""),
    "reminders": ({}, ""),
}


def as_params(schema: Mapping[str, Mapping[str, Any]]) -> dict[str, Param]:
    """Airflow's Params of JSON schemas that may hold a `default`."""

    def param(spec: Mapping[str, Any]) -> Param:
        rest = {key: value for key, value in spec.items() if key != "default"}
        return Param(spec["default"], **rest) if "default" in spec else Param(**rest)

    return {name: param(spec) for name, spec in schema.items()}


def withdrawal() -> dict[str, Param]:
    """Params of the DAG that withdraws a preview."""
    return as_params(WITHDRAWAL_SCHEMA)


def overruling() -> dict[str, Param]:
    """Params of the request to overrule the policies."""
    return as_params(OVERRULING_SCHEMA)


def client_update() -> dict[str, Param]:
    """Params of the DAGs that roll out a client."""
    return as_params(CLIENT_UPDATE_SCHEMA)


def deployment_test() -> dict[str, Param]:
    """Params of the DAG that tests an update's deployment."""
    return as_params(DEPLOYMENT_TEST_SCHEMA)


def pilot() -> dict[str, Param]:
    """Params of the DAGs that run a pilot."""
    return as_params(PILOT_SCHEMA)


def release_test() -> dict[str, Param]:
    """Params of the DAG that lets selected sites try an update."""
    return as_params(RELEASE_TEST_SCHEMA)
