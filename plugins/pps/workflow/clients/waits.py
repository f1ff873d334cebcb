"""What client updates wait for (SD 4.1.1, 4.1.2)."""

from __future__ import annotations

from pps.activities.clients import certification, local_configuration, publication, withdrawal
from pps.activities.release import overruling
from pps.domain.clients.control import pause_of
from pps.domain.people import feedback
from pps.domain.record.rollouts import occasion_of
from pps.domain.record.site_states import SiteState
from pps.workflow.desk import FrontDesk, FrontOffice


def feedback_is_over(d: FrontDesk) -> bool:
    """The agreed date has passed, or enough of the invited VOs have answered (SD 4.1.1; policies.yaml, `feedback`).
    What is paused goes no further."""
    return may_go_on(d) and (
        feedback.feedback_is_over(d.rollout, d.now, d.policies.feedback.terms())
        or overruling.standing(d.facts, d.rollout.patch_number) is not None
    )


def certification_is_over(d: FrontDesk) -> bool:
    """The tracker says `Certified` or `Rejected`, or the rollout was stopped.

    A pause holds back the way to production, not the withdrawal of a patch that was rejected.
    """
    return certification.certification_is_over(
        d,
        d.services.tracker,
        wait_at_most=d.policies.certification.wait_at_most,
        overruled=overruling.standing(d.facts, d.rollout.patch_number) is not None,
        held=not may_go_on(d),
    )


def may_go_on(d: FrontDesk) -> bool:
    """Nobody has paused the rollout, or somebody has let it go on; a batch that waited may begin."""
    return pause_of(d.rollout) is None


def preview_is_offered(d: FrontDesk) -> bool:
    """Enough sites offer the preview, or no further one can come (SD 4.1.2)."""
    return local_configuration.is_offered(d.rollout, d.policies.local_configuration.announce_when_available)


def tags_are_seen(d: FrontDesk, batch: str) -> bool:
    """The information system shows the tag at every tagged site of the batch, or its time is up.

    A site that is installed but does not publish is no failure of the others.
    """
    sites = d.services.known_sites(d.rollout.batch(batch))
    tagged = [
        fact.at
        for p in d.rollout.all_progress(s.name for s in sites)
        if (fact := p.fact) and p.state is SiteState.TAGGED
    ]
    if not tagged or d.rollout.is_withdrawn or d.now > max(tagged) + d.policies.publication.seen_within:
        return True
    missing = publication.tags_seen(
        d,
        d.services.information_system,
        sites,
        d.rollout.tag,
        occasion=occasion_of(batch),
        matchmaker=d.services.matchmaker,
    )
    return not missing


def tags_are_gone(d: FrontDesk) -> bool:
    """The information system no longer shows the tag of a withdrawn preview, or its time is up."""
    return withdrawal.tags_are_gone(
        d,
        d.services.information_system,
        d.services.known_sites(d.rollout.reached_sites),
        gone_within=d.policies.withdrawal.gone_within,
    )


def retired_tags_are_gone(o: FrontOffice, rollouts: list[str]) -> bool:
    """The same, for all previews that a night retires."""
    return all(tags_are_gone(o.desk(name)) for name in rollouts)
