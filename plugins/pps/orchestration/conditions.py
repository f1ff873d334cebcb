"""What the sensors wait for: questions to the facts and the world, each asked afresh."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from pps.activities.certification import certification_is_over
from pps.activities.publication import tags_seen
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
    """Also true when the time is up: being installed but not published is no failure of the others."""
    with services() as s:
        record = s.facts.rollout(rollout)
        sites = [s.config.sites[name] for name in record.batch(batch) if name in s.config.sites]
        missing = tags_seen(
            record,
            s.facts,
            s.information_system,
            sites,
            record.tag,
            now=now(),
            occasion=batch,
            actor=actor_of("information system"),
            matchmaker=s.matchmaker,
        )
        if not missing:
            return True
        tagged = [fact.at for name in missing if (fact := record.progress(name).fact) is not None]
        return now() > max(tagged) + s.config.policies.publication.seen_within


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
