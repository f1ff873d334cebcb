"""What the sensors wait for: questions to the facts and the world, each asked afresh."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from pps.activities.clients.certification import certification_is_over
from pps.activities.clients.local_configuration import is_offered
from pps.activities.clients.publication import tags_seen
from pps.activities.clients.withdrawal import tags_are_gone
from pps.activities.packages.fetching import reasons_if_changed
from pps.activities.people import outbox
from pps.activities.pilots import roll_back as pilot_roll_back
from pps.activities.pilots import running as pilot_running
from pps.activities.pilots import set_up as pilot_setup
from pps.activities.pilots import vos as pilot_vos
from pps.activities.quality.deployment_tests import needs_deployment_test, newest_deployment_verdict
from pps.activities.release import overruling
from pps.config.loader import load_configuration
from pps.domain.people.feedback import feedback_is_over
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath, SiteState, occasion_of
from pps.orchestration.forms_pilot_site import credit_of_set_up
from pps.orchestration.runtime import actor_of, now, services
from pps.services import Services


def _feedback_is_over(rollout: str) -> bool:
    with services() as s:
        record = s.facts.rollout(rollout)
        return feedback_is_over(record, now()) or overruling.standing(s.facts, record.patch_number) is not None


def _certification_is_over(rollout: str) -> bool:
    with services() as s:
        record = s.facts.rollout(rollout)
        return certification_is_over(
            record,
            s.facts,
            s.tracker,
            now(),
            actor_of("certification"),
            wait_at_most=s.config.policies.certification.wait_at_most,
            overruled=overruling.standing(s.facts, record.patch_number) is not None,
        )


def _preview_is_offered(rollout: str) -> bool:
    with services() as s:
        return is_offered(s.facts.rollout(rollout), s.config.policies.local_configuration.announce_when_available)


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


def _no_test_is_waited_for(s: Services, record: Rollout) -> bool:
    """Nothing waits for a deployment test any more, or the time is up; the release then has its reasons."""
    if record.is_over or overruling.standing(s.facts, record.patch_number) is not None:
        return True
    opened = record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.")
    return now() > opened.at + s.config.policies.deployment_test.wait_at_most


def _deployment_test_is_over(rollout: str) -> bool:
    with services() as s:
        record = s.facts.rollout(rollout)
        if _no_test_is_waited_for(s, record):
            return True
        still_open = s.facts.rollouts(open_only=True, paths=[RolloutPath.PRE_DEPLOYMENT], patch=record.patch_number)
        return not still_open and newest_deployment_verdict(s.facts, record.patch_number) is not None


def _deployment_test_is_renewed(rollout: str) -> bool:
    """Also true when the patch is no longer what was tried: then nothing is released, whatever a test says."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        if _no_test_is_waited_for(s, record) or reasons_if_changed(record, patch):
            return True
        still_open = s.facts.rollouts(open_only=True, paths=[RolloutPath.PRE_DEPLOYMENT], patch=record.patch_number)
        return not still_open and not needs_deployment_test(s.facts, patch)


def _pilot_is_set_up(rollout: str, site: str) -> bool:
    with services() as s:
        record = s.facts.rollout(rollout)
        policies = s.config.policies
        return pilot_setup.set_up_is_settled(
            record,
            s.facts,
            s.service_probes,
            s.information_system,
            s.config.sites.get(site),
            site,
            s.tracker.patch(record.patch_number),
            s.templates,
            patience=policies.publication.seen_within,
            grace=policies.pilots.answer_within,
            now=now(),
            actor=actor_of("service probe"),
            more=credit_of_set_up(s, record, site),
        )


def _pilot_run_is_over(rollout: str) -> bool:
    """Each question is a look at the services. Mails of incidents leave at once: a prompt reaction is wanted."""
    with services() as s:
        over = pilot_running.look_at_pilot(
            s.facts.rollout(rollout),
            s.facts,
            s.service_probes,
            s.config.sites,
            s.templates,
            support=s.config.service.reply_to,
            incident_after=s.config.policies.pilots.incident_after,
            now=now(),
            actor=actor_of("service probe"),
        )
        outbox.empty_outbox(s.facts, s.mailer, now)
        return over


def _pilot_is_rolled_back(rollout: str, site: str) -> bool:
    with services() as s:
        return pilot_roll_back.roll_back_is_settled(
            s.facts.rollout(rollout),
            s.facts,
            s.service_probes,
            s.information_system,
            s.config.sites.get(site),
            site,
            give_up_after=s.config.policies.pilots.roll_back_within + s.config.policies.pilots.answer_within,
            now=now(),
            actor=actor_of("service probe"),
        )


def _vos_may_begin(rollout: str) -> bool:
    with services() as s:
        return pilot_vos.vos_may_begin(s.facts.rollout(rollout))


def _vos_are_heard(rollout: str) -> bool:
    with services() as s:
        record = s.facts.rollout(rollout)
        return pilot_vos.vos_are_heard(record, now()) or overruling.standing(s.facts, record.patch_number) is not None


def _pilot_ends_at_site(rollout: str, site: str) -> bool:
    """Also true as soon as a roll-back is asked for: then its people are asked to do it."""
    with services() as s:
        record = s.facts.rollout(rollout)
        pilot = Pilot(record)
        asked, gone = pilot.roll_back_asked(site) is not None, pilot.service_at(site) is None
        return asked or gone or pilot.run_is_over(now())


CONDITIONS: dict[str, Callable[..., bool]] = {
    "feedback_is_over": _feedback_is_over,
    "certification_is_over": _certification_is_over,
    "tags_are_seen": _tags_are_seen,
    "tags_are_gone": _tags_are_gone,
    "retired_tags_are_gone": _retired_tags_are_gone,
    "preview_is_offered": _preview_is_offered,
    "deployment_test_is_over": _deployment_test_is_over,
    "deployment_test_is_renewed": _deployment_test_is_renewed,
    "pilot_is_set_up": _pilot_is_set_up,
    "pilot_run_is_over": _pilot_run_is_over,
    "pilot_is_rolled_back": _pilot_is_rolled_back,
    "vos_may_begin": _vos_may_begin,
    "vos_are_heard": _vos_are_heard,
    "pilot_ends_at_site": _pilot_ends_at_site,
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
        "preview_is_offered": policies.local_configuration.check_every,
        "deployment_test_is_over": policies.deployment_test.check_every,
        "deployment_test_is_renewed": policies.deployment_test.check_every,
        "pilot_is_set_up": policies.pilots.check_every,
        "pilot_run_is_over": policies.pilots.probe_every,
        "pilot_is_rolled_back": policies.pilots.check_every,
        "vos_may_begin": policies.pilots.check_every,
        "vos_are_heard": policies.pilots.check_every,
        "pilot_ends_at_site": policies.pilots.check_every,
    }
    return every[condition].total_seconds()
