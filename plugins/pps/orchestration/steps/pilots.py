"""The steps of a server pilot (SD 4.1.3, 4.1.4) as Airflow tasks; `rollout` is the name of its round's record.

What the Coordinator and the sites' people answer are forms; between them stand these. Whether it goes on is read off
the facts, so nobody can skip a meeting by marking a task.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task

from pps.activities.packages import mirroring
from pps.activities.packages.fetching import keep_packages_once, note_trust, reasons_if_changed
from pps.activities.people import outbox
from pps.activities.people.invitation import meeting_time
from pps.activities.people.notification import Party
from pps.activities.pilots import end as pilot_end
from pps.activities.pilots import kick_off as pilot_kick_off
from pps.activities.pilots import meetings as pilot_meetings
from pps.activities.pilots import notes as pilot_notes
from pps.activities.pilots import request as pilot_request
from pps.activities.pilots import roll_back as pilot_roll_back
from pps.activities.pilots import screening as pilot_screening
from pps.activities.pilots import vos as pilot_vos
from pps.activities.pilots import wrap_up as pilot_wrap_up
from pps.activities.quality import deployment_tests
from pps.activities.release import overruling
from pps.domain.pilots import rules as pilot_rules
from pps.domain.pilots.pilot import PROLONG, RELEASE, Pilot
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.orchestration import forms_pilot_meetings as meetings
from pps.orchestration.alarm import watched
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import actor, now, run_of, services
from pps.services import Services

log = logging.getLogger(__name__)

NOT_PUBLISHED = "The service is not published in the production information system, so no mirror is needed."


def _send(s: Services) -> None:
    outbox.empty_outbox(s.facts, s.mailer, now)


def _credit(s: Services, rollout: str) -> None:
    meetings.credit(s, s.facts.rollout(rollout))


# --- request and pre-screening ------------------------------------------------------------------


@task
def open_pilot(path: str) -> str:
    """Step 1. Put the request on record, or open the next round; refused with reasons where the rules say no."""
    context = get_current_context()
    params, run = context["params"], run_of(context)
    with services() as s:
        if before := params.get("continues"):
            return pilot_request.open_next_round(s.facts.rollout(before), s.facts, run=run, now=now(), actor=actor())
        patch = s.tracker.patch(int(params["patch"]))
        vo, vos = params.get("vo") or "", {known.name: known.representatives for known in s.config.people.vos}
        # who may ask for which VO was said when the run was started (`roles.reasons_against_asking_for_pilot`)
        asked = pilot_request.PilotRequest(
            actor(), str(params["scope"]), vo, params.get("justification") or "", actor() in vos.get(vo, ())
        )
        return pilot_request.request_pilot(
            s.facts,
            patch,
            asked,
            s.config.policies.minor_update.to_domain(),
            list(vos),
            run=run,
            now=now(),
            actor=actor(),
            path=RolloutPath(path),
        )


def _goes_on(rollout: str, kind: FactKind) -> bool:
    """A pilot that was declined or given up is closed, with its reason on record; nothing follows then."""
    with services() as s:
        record = s.facts.rollout(rollout)
        closed = record.the(FactKind.ROLLOUT_CLOSED)
        if closed is not None:
            log.warning("%s: %s", closed.payload["outcome"], " ".join(closed.payload.get("reasons", ())))
            return False
        record.need(kind, "Clear the task of the question before.")
        return True


@task.short_circuit
def request_is_accepted(rollout: str) -> bool:
    """Step 1. Whether the Coordinator has accepted the request."""
    if not _goes_on(rollout, FactKind.PILOT_REQUESTED):
        return False
    with services() as s:
        pilot_rules.must_be_accepted(Pilot(s.facts.rollout(rollout)))
        return True


@task
def rank_candidates(rollout: str) -> list[str]:
    """Step 2. Candidates among the partners, with reasons. Returns them, the best first; none in a later round."""
    with services() as s:
        record = s.facts.rollout(rollout)
        if record.has(FactKind.SITES_SELECTED):
            return []
        found = pilot_screening.rank_candidates(
            record,
            s.facts,
            s.tracker.patch(record.patch_number),
            s.config.sites.values(),
            s.config.policies.pilots.open_pilots_at_most,
            now=now(),
            actor=actor(),
        )
        return [candidate.site for candidate in found.candidates]


@task
def ask_vos_for_interest(rollout: str) -> int:
    """Step 2. Tell the VOs of the new features; returns how many mails are new."""
    with services() as s:
        record = s.facts.rollout(rollout)
        if record.has(FactKind.SITES_SELECTED):
            return 0
        patch, service = s.tracker.patch(record.patch_number), s.config.service
        new = pilot_screening.ask_for_interest(
            record, s.facts, patch, s.audience().vos, service.reply_to, service.public_url, s.templates, now(), actor()
        )
        _send(s)
        return new


@task.short_circuit
def sites_are_selected(rollout: str) -> bool:
    """Step 2. Whether the Coordinator has selected the sites."""
    return _goes_on(rollout, FactKind.SITES_SELECTED)


# --- instruction and kick-off -------------------------------------------------------------------


@task
def instruct_sites(rollout: str) -> int:
    """Step 3. Pointers to the documentation, and the timeline; returns how many mails are new."""
    with services() as s:
        record = s.facts.rollout(rollout)
        new = pilot_kick_off.instruct_sites(
            record,
            s.facts,
            s.tracker.patch(record.patch_number),
            s.config.sites,
            meetings.usual_timeline(s, record),
            s.templates,
            now(),
            actor(),
        )
        _credit(s, rollout)
        _send(s)
        return new


def _call(s: Services, record: Rollout, what: str, agenda: tuple[str, ...]) -> str:
    policy = s.config.policies.pilots
    called = pilot_meetings.call_meeting(
        record,
        s.facts,
        what,
        s.participants(record, what),
        agenda,
        s.templates,
        starts=meeting_time(now(), policy.meeting_after),
        lasts=policy.meeting_lasts,
        organizer=s.config.service.reply_to,
        public_url=s.config.service.public_url,
        now=now(),
        actor=actor(),
    )
    _send(s)
    return str(called.payload["starts"])


@task
def invite_to_kick_off(rollout: str) -> str:
    """Step 4. The meeting, in everybody's calendar. Returns when it begins."""
    with services() as s:
        record = s.facts.rollout(rollout)
        pilot_rules.may_kick_off(Pilot(record))
        return _call(s, record, pilot_meetings.KICK_OFF, pilot_kick_off.AGENDA)


@task.short_circuit
def dates_are_agreed(rollout: str) -> bool:
    """Step 5. Whether the kick-off meeting has come to an agreement."""
    return _goes_on(rollout, FactKind.KICK_OFF_AGREED)


# --- mirror -------------------------------------------------------------------------------------


@task(execution_timeout=LIMITS.mirror)
def mirror_repository(rollout: str) -> str:
    """Step 6. A mirror if the service is published, and the very packages kept. Returns the mirror, or why none."""
    with services() as s, tempfile.TemporaryDirectory(prefix="pps-mirror-") as folder:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        note_trust(record, s.facts, patch, s.trust_in(patch.repository.url), now(), actor())
        needed: dict[str, Any] = {"reader": s.package_reader, "workdir": Path(folder)}
        with watched(s, record):
            if record.has(FactKind.MIRROR_MADE):
                made = record.need(FactKind.MIRROR_MADE, "")
            elif not Pilot(record).is_published:
                made = mirroring.skip_mirror(record, s.facts, NOT_PUBLISHED, now(), actor())
            elif not s.config.service.mirror_folder:
                why = "service.yaml names no mirror_folder: the sites install from the developers' own repository."
                made = mirroring.skip_mirror(record, s.facts, why, now(), actor())
            else:
                made = mirroring.make_mirror(
                    record,
                    s.facts,
                    patch,
                    mirrors=s.mirrors,
                    repositories=s.repositories,
                    publish_packages=s.publish_packages,
                    limits=s.config.policies.mirror.to_port(),
                    now=now(),
                    actor=actor(),
                    **needed,
                )
            record = s.facts.rollout(rollout)
            mirror = mirroring.mirror_repository(record, s.mirror_url)
            pilot_rules.must_be_accepted(Pilot(record))
            keep_packages_once(
                record,
                s.facts,
                replace(patch, repository=mirror) if mirror else patch,
                now(),
                actor(),
                repositories=s.own_repositories if mirror else s.repositories,
                artefacts=s.artefacts,
                limits=s.config.policies.tarball.to_port(),
                **needed,
            )
        _credit(s, rollout)
        return str(made.payload.get("mirror") or made.payload["skipped"])


# --- at the sites -------------------------------------------------------------------------------


@task
def sites_of_pilot(rollout: str) -> list[str]:
    """Steps 7 to 9. The sites that take part, each at its own pace."""
    with services() as s:
        return list(Pilot(s.facts.rollout(rollout)).sites)


@task
def tell_of_roll_back(rollout: str, site: str) -> int:
    """Step 8. Users are told that a site has gone back to the version of before; returns how many mails are new."""
    with services() as s:
        record = s.facts.rollout(rollout)
        if site not in s.config.sites or Pilot(record).rolled_back(site) is None:
            return 0
        vos = [Party(vo.name, vo.contact) for vo in s.config.people.vos]
        new = pilot_roll_back.tell_users(
            record,
            s.facts,
            s.templates,
            s.config.sites[site],
            pilot_roll_back.users_of(record, vos),
            s.config.service.reply_to,
            now(),
            actor(),
        )
        _send(s)
        return new


@task
def invite_vos(rollout: str) -> int:
    """Step 8. The committed VOs are asked to use the service, and for their feedback; how many mails are new."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        new = pilot_vos.invite_vos(record, s.facts, patch, s.audience(), s.templates, now(), actor())
        _send(s)
        return new


# --- wrap-up ------------------------------------------------------------------------------------


# a site whose question broke, or that has nothing to report, keeps nobody from the meeting
@task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
def invite_to_wrap_up(rollout: str) -> str:
    """Step 10. The meeting, in everybody's calendar. Returns when it begins."""
    with services() as s:
        record = s.facts.rollout(rollout)
        record.need(FactKind.RUN_ENDED, "Wait for the end of the run.")
        _credit(s, rollout)
        return _call(s, record, pilot_meetings.WRAP_UP, pilot_wrap_up.AGENDA)


@task.branch
def follow_decision(rollout: str) -> str:
    """Step 10. What the wrap-up decided, as the facts tell it; fails where nobody did."""
    with services() as s:
        record = s.facts.rollout(rollout)
        if record.is_closed and not record.has(FactKind.WRAPPED_UP):
            return "end_pilot"  # nobody decided in time
        decision = pilot_wrap_up.needed_decision(record).payload["decision"]
    log.info("The decision is: %s", decision)
    return {RELEASE: "wait_for_deployment_test", PROLONG: "prolong_pilot"}.get(decision, "end_pilot")


@task.branch
def renew_deployment_test(rollout: str) -> str:
    """Step 10. Another test where the newest was of another update; a release that is refused anyway waits for none."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        needed = deployment_tests.needs_deployment_test(s.facts, patch) and not reasons_if_changed(record, patch)
        if needed and overruling.standing(s.facts, patch.number) is None:
            log.info("The newest deployment test was not of patch %s as it is now.", patch.number)
            return "start_another_deployment_test"
        return "release_update"


# what was skipped is the other test, where none is needed
@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, execution_timeout=LIMITS.build)
def release_update(rollout: str) -> bool:
    """Step 10. Release notes, then the packages that were tried into production, unless the rules say no."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        pilot_notes.write_pilot_notes(record, s.facts, patch, s.templates, s.publication_folder, now(), actor())
        record = s.facts.rollout(rollout)
        with watched(s, record):
            reasons = pilot_end.release_pilot(record, s.facts, patch, s.production, now(), actor())
        for reason in reasons:
            log.warning("Not released to production: %s", reason)
        _send(s)
        return not reasons


@task
def prolong_pilot(rollout: str) -> str:
    """Step 10. This round ends; returns the name of the next one, which is another run of this DAG."""
    with services() as s:
        pilot_end.close_pilot(s.facts.rollout(rollout), s.facts, now(), actor())
        record = s.facts.rollout(rollout)
        meetings.tell_end(s, record)
        _send(s)
        return pilot_end.next_round_name(record, s.facts)


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def end_pilot(rollout: str) -> str:
    """Step 10. The end: everybody is told; returns the outcome."""
    with services() as s:
        outcome = pilot_end.close_pilot(s.facts.rollout(rollout), s.facts, now(), actor())
        meetings.tell_end(s, s.facts.rollout(rollout))
        _send(s)
        return outcome
