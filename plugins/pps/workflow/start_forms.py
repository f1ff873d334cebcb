"""What operators, and certification by REST, enter to start a run: field -> JSON schema, which may hold a `default`.

Airflow shows them as forms (`orchestration.params`); `web.start_check` holds every start against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pps.activities.release.overruling import SHORTEST_REASON
from pps.domain.base.names import NAME_JSON_PATTERN
from pps.domain.base.texts import LONGEST_REASON
from pps.domain.people.feedback_dates import reasons_against_past
from pps.domain.people.overruling import Urgency

Schema = dict[str, dict[str, Any]]

CLIENT_UPDATE: Schema = {
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


def reasons_against_dates(conf: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    """Say why the dates of a conf that fits its schema cannot be kept; no reasons means that they can.

    A date that passes later, while we or the sites are down, is no reason: the task then takes the usual time.
    """
    typed = conf.get("feedback_until")
    if not typed:
        return ()
    try:
        until = datetime.fromisoformat(typed).astimezone(UTC)
    except OverflowError:  # the first and the last day of the calendar, in another zone
        return (f"conf.feedback_until: {typed!r} is on no day of the calendar in UTC. Give another date.",)
    past = reasons_against_past(until, now)
    return tuple(f"conf.feedback_until: {typed!r}: {why} Give a later date, or leave it out." for why in past)


DEPLOYMENT_TEST: Schema = {
    "patch": {
        "type": "integer",
        "minimum": 1,
        "maximum": 999_999_999,
        "title": "Patch",
        "description": "Number of the patch in the tracker. It must be “In certification” or “Certified”.",
    },
}


OVERRULING: Schema = {
    "patch": CLIENT_UPDATE["patch"]
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
        "description": "Why the policies cannot be kept. It appears in release notes and bulletin.",
    },
}


RELEASE_TEST: Schema = {
    "patch": CLIENT_UPDATE["patch"]
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
WITHDRAWAL: Schema = {
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

#: As above, for `retry_sites`.
RETRY: Schema = {
    "rollout": WITHDRAWAL["rollout"]
    | {"description": "Name of the rollout whose preview is to be tried again at sites, e.g. bc-client-4711-1."},
    "sites": {
        "type": ["null", "array"],
        "items": {"type": "string", "pattern": NAME_JSON_PATTERN},
        "minItems": 1,
        "maxItems": 1000,
        "uniqueItems": True,
        "default": None,
        "title": "Sites",
        "description": "Names as in sites.yaml, one a line. Empty: all that have failed and may be tried again.",
    },
}

#: Of a request for a pilot (SD 4.1.3, 1).
PILOT: Schema = {
    "patch": CLIENT_UPDATE["patch"] | {"description": "Number of a server update in the tracker."},
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
        "description": "Needed if the software is not certified: why it is used. It is put on record.",
    },
    "continues": {
        "type": ["null", "string"],
        "pattern": NAME_JSON_PATTERN,
        "default": None,
        "title": "Continues",
        "description": "For another round: name of the pilot that the wrap-up prolonged. The scheduler fills it in.",
    },
}
