"""What the sensors wait for: questions to the facts and the world, each asked afresh."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from pps.activities.certification import certification_is_over
from pps.activities.publication import tags_seen
from pps.activities.withdrawal import tags_are_gone
from pps.config.loader import load_configuration
from pps.domain.feedback import feedback_is_over
from pps.domain.rollouts import SiteState, occasion_of
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
        tagged = [
            fact.at
            for p in record.all_progress(s.name for s in sites)
            if (fact := p.fact) and p.state is SiteState.TAGGED
        ]
        if not tagged or record.is_withdrawn or now() > max(tagged) + s.config.policies.publication.seen_within:
            return True
        missing = tags_seen(
            record,
            s.facts,
            s.information_system,
            sites,
            record.tag,
            now=now(),
            occasion=occasion_of(batch),
            actor=actor_of("information system"),
            matchmaker=s.matchmaker,
        )
        return not missing


def _tags_are_gone(rollout: str) -> bool:
    with services() as s:
        record = s.facts.rollout(rollout)
        return tags_are_gone(
            record,
            s.facts,
            s.information_system,
            s.known_sites(record.reached_sites),
            now(),
            gone_within=s.config.policies.withdrawal.gone_within,
            actor=actor_of("information system"),
        )


def _retired_tags_are_gone(rollouts: list[str]) -> bool:
    return all(_tags_are_gone(rollout) for rollout in rollouts)


CONDITIONS: dict[str, Callable[..., bool]] = {
    "feedback_is_over": _feedback_is_over,
    "certification_is_over": _certification_is_over,
    "tags_are_seen": _tags_are_seen,
    "tags_are_gone": _tags_are_gone,
    "retired_tags_are_gone": _retired_tags_are_gone,
}


def interval_s(condition: str) -> float:
    """Seconds between two questions, from policies.yaml."""
    policies = load_configuration().policies
    every: dict[str, timedelta] = {
        "feedback_is_over": policies.feedback.check_every,
        "certification_is_over": policies.certification.check_every,
        "tags_are_seen": policies.publication.check_every,
        "tags_are_gone": policies.withdrawal.check_every,
        "retired_tags_are_gone": policies.withdrawal.check_every,
    }
    return every[condition].total_seconds()
