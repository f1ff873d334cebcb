"""What the sensors wait for: questions to the facts and the world, each asked afresh."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from pps.activities.certification import certification_is_over
from pps.activities.publication import tags_are_settled
from pps.config.loader import load_configuration
from pps.domain.feedback import feedback_is_over
from pps.orchestration.runtime import actor_of, now, services


def _feedback_is_over(rollout: str) -> bool:
    with services() as s:
        return feedback_is_over(s.facts.rollout(rollout), now())


def _certification_is_over(rollout: str) -> bool:
    with services() as s:
        return certification_is_over(
            s.facts.rollout(rollout),
            s.facts,
            s.tracker,
            now(),
            actor_of("certification"),
            wait_at_most=s.config.policies.certification.wait_at_most,
        )


def _tags_are_seen(rollout: str, batch: str) -> bool:
    with services() as s:
        record = s.facts.rollout(rollout)
        return tags_are_settled(
            record,
            s.facts,
            s.information_system,
            [s.config.site(name) for name in record.batch(batch)],
            now(),
            actor_of("information system"),
            occasion=batch,
            seen_within=s.config.policies.publication.seen_within,
        )


CONDITIONS: dict[str, Callable[..., bool]] = {
    "feedback_is_over": _feedback_is_over,
    "certification_is_over": _certification_is_over,
    "tags_are_seen": _tags_are_seen,
}


def interval_s(condition: str) -> float:
    """Seconds between two questions, from policies.yaml."""
    policies = load_configuration().policies
    every: dict[str, timedelta] = {
        "feedback_is_over": policies.feedback.check_every,
        "certification_is_over": policies.certification.check_every,
        "tags_are_seen": policies.publication.check_every,
    }
    return every[condition].total_seconds()
