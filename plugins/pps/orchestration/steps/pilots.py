"""The steps of a server pilot (SD 4.1.3, 4.1.4) as Airflow tasks; `rollout` is the name of its round's record.

What the Coordinator and the sites' people answer are forms; these stand between them. Whether a pilot goes on is read
off the facts, so nobody can skip a meeting by marking a task.
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
from pps.activities.people.feedback_dates import ask_in_time
from pps.activities.people.invitation import meeting_time
from pps.activities.people.notification import Party
from pps.activities.pilots import end, kick_off, notes, request, roll_back, screening, wrap_up
from pps.activities.pilots import meetings as pilot_meetings
from pps.activities.pilots import vos as pilot_vos
from pps.activities.quality import deployment_tests
from pps.activities.release import overruling
from pps.domain.pilots import rules
from pps.domain.pilots.pilot import PROLONG, RELEASE, Pilot
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.orchestration import labels
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import desk, office, run_of
from pps.workflow.alarm import watched
from pps.workflow.desk import FrontDesk
from pps.workflow.pilots import meetings

log = logging.getLogger(__name__)

NOT_PUBLISHED = "The service is not published in the production information system, so no mirror is needed."


# --- request and pre-screening ------------------------------------------------------------------


@task
def open_pilot(path: str) -> str:
    """Step 1. Put the request on record, or open the next round; refused with reasons where the rules say no."""
    context = get_current_context()
    params, run = context["params"], run_of(context)
    with office() as o:
        if before := params.get("continues"):
            return request.open_next_round(o.desk(before), run=run)
        patch = o.services.patch(int(params["patch"]))
        vo, vos = params.get("vo") or "", {known.name: known.representatives for known in o.config.people.vos}
        # who may ask for which VO was said when the run was started (`roles.reasons_against_asking_for_pilot`)
        asked = request.PilotRequest(
            o.actor, str(params["scope"]), vo, params.get("justification") or "", o.actor in vos.get(vo, ())
        )
        return request.request_pilot(
            o, patch, asked, o.policies.minor_update.to_domain(), list(vos), run=run, path=RolloutPath(path)
        )


def _goes_on(rollout: str, kind: FactKind) -> bool:
    """A pilot that was declined or given up is closed, with its reason on record; nothing follows then."""
    with desk(rollout) as d:
        closed = d.rollout.the(FactKind.ROLLOUT_CLOSED)
        if closed is not None:
            log.warning("%s: %s", closed.payload["outcome"], " ".join(closed.payload.get("reasons", ())))
            return False
        d.rollout.need(kind, "Clear the task that puts the question before this one.")
        return True


@task.short_circuit
def request_is_accepted(rollout: str) -> bool:
    """Step 1. Whether the Coordinator has accepted the request."""
    if not _goes_on(rollout, FactKind.PILOT_REQUESTED):
        return False
    with desk(rollout) as d:
        rules.must_be_accepted(Pilot(d.rollout))
        return True


@task
def rank_candidates(rollout: str) -> list[str]:
    """Step 2. Candidates among the partners, with reasons. Returns them, the best first; none in a later round."""
    with desk(rollout) as d:
        if d.rollout.has(FactKind.SITES_SELECTED):
            return []
        found = screening.rank_candidates(d, d.config.sites.values(), d.policies.pilots.open_pilots_at_most)
        return [candidate.site for candidate in found.candidates]


@task
def ask_vos_for_interest(rollout: str) -> int:
    """Step 2. Tell the VOs of the new features; returns how many mails are new."""
    with desk(rollout) as d:
        if d.rollout.has(FactKind.SITES_SELECTED):
            return 0
        service = d.config.service
        new = screening.ask_for_interest(d, d.services.audience().vos, service.reply_to, service.public_url)
        d.send()
        return new


@task.short_circuit
def sites_are_selected(rollout: str) -> bool:
    """Step 2. Whether the Coordinator has selected the sites."""
    return _goes_on(rollout, FactKind.SITES_SELECTED)


# --- instruction and kick-off -------------------------------------------------------------------


@task
def instruct_sites(rollout: str) -> int:
    """Step 3. Pointers to the documentation, and the timeline; returns how many mails are new."""
    with desk(rollout) as d:
        new = kick_off.instruct_sites(d, d.config.sites, meetings.usual_timeline(d))
        meetings.credit(d)
        d.send()
        return new


def _call(d: FrontDesk, what: str, agenda: tuple[str, ...]) -> str:
    policy = d.policies.pilots
    host = pilot_meetings.Host(d.config.service.reply_to, d.config.service.public_url)
    starts = meeting_time(d.now, policy.meeting_after)
    parties = meetings.participants(d, what)
    called = pilot_meetings.call_meeting(d, what, parties, agenda, host, starts=starts, lasts=policy.meeting_lasts)
    d.send()
    return str(called.payload["starts"])


@task
def invite_to_kick_off(rollout: str) -> str:
    """Step 4. The meeting, in everybody's calendar. Returns when it begins."""
    with desk(rollout) as d:
        rules.may_kick_off(Pilot(d.rollout))
        return _call(d, pilot_meetings.KICK_OFF, kick_off.AGENDA)


@task.short_circuit
def dates_are_agreed(rollout: str) -> bool:
    """Step 5. Whether the kick-off meeting has come to an agreement."""
    return _goes_on(rollout, FactKind.KICK_OFF_AGREED)


# --- mirror -------------------------------------------------------------------------------------


@task(execution_timeout=LIMITS.mirror)
def mirror_repository(rollout: str) -> str:
    """Step 6. A mirror if the service is published, and the very packages kept. Returns the mirror, or why none."""
    with desk(rollout) as d, tempfile.TemporaryDirectory(prefix="pps-mirror-") as folder:
        patch = d.patch
        note_trust(d, d.services.trust_in(patch.repository.url))
        needed: dict[str, Any] = {"reader": d.services.package_reader, "workdir": Path(folder)}
        with watched(d):
            if d.rollout.has(FactKind.MIRROR_MADE):
                made = d.rollout.need(FactKind.MIRROR_MADE, "")
            elif not Pilot(d.rollout).is_published:
                made = mirroring.skip_mirror(d, NOT_PUBLISHED)
            elif not d.config.service.mirror_folder:
                why = "service.yaml names no mirror_folder: the sites install from the developers' own repository."
                made = mirroring.skip_mirror(d, why)
            else:
                made = mirroring.make_mirror(
                    d,
                    mirrors=d.services.mirrors,
                    repositories=d.services.repositories,
                    publish_packages=d.services.publish_packages,
                    limits=d.policies.mirror.to_port(),
                    **needed,
                )
            mirror = mirroring.mirror_repository(d.rollout, d.services.mirror_url)
            rules.must_be_accepted(Pilot(d.rollout))
            keep_packages_once(
                d.later(),  # a mirror takes its time
                replace(patch, repository=mirror) if mirror else patch,
                repositories=d.services.own_repositories if mirror else d.services.repositories,
                artefacts=d.services.artefacts,
                limits=d.policies.tarball.to_port(),
                **needed,
            )
        d.look_again()
        meetings.credit(d)
        return str(made.payload.get("mirror") or made.payload["skipped"])


# --- at the sites -------------------------------------------------------------------------------


@task
def sites_of_pilot(rollout: str) -> list[str]:
    """Steps 7 to 9. The sites that take part, each at its own pace."""
    with desk(rollout) as d:
        return list(Pilot(d.rollout).sites)


@task(map_index_template=labels.SITE)
def tell_of_roll_back(rollout: str, site: str) -> int:
    """Step 8. Users are told that a site has gone back to the version before; returns how many mails are new."""
    with desk(rollout) as d:
        if site not in d.config.sites or Pilot(d.rollout).rolled_back(site) is None:
            return 0
        vos = [Party(vo.name, vo.contact) for vo in d.config.people.vos]
        new = roll_back.tell_users(
            d, d.config.sites[site], roll_back.users_of(d.rollout, vos), d.config.service.reply_to
        )
        d.send()
        return new


@task
def invite_vos(rollout: str) -> int:
    """Step 8. The committed VOs are asked to use the service, and for their feedback; how many mails are new."""
    with desk(rollout) as d:
        if Pilot(d.rollout).serving:  # else nobody is asked
            ask_in_time(d, d.policies.pilots.feedback_within)
        new = pilot_vos.invite_vos(d, d.services.audience())
        d.send()
        return new


# --- wrap-up ------------------------------------------------------------------------------------


# a site whose question broke, or that has nothing to report, keeps nobody from the meeting
@task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
def invite_to_wrap_up(rollout: str) -> str:
    """Step 10. The meeting, in everybody's calendar. Returns when it begins."""
    with desk(rollout) as d:
        d.rollout.need(FactKind.RUN_ENDED, "Wait for the end of the run.")
        meetings.credit(d)
        return _call(d, pilot_meetings.WRAP_UP, wrap_up.AGENDA)


@task.branch
def follow_decision(rollout: str) -> str:
    """Step 10. What the wrap-up decided, as the facts tell it; fails where nobody did."""
    with desk(rollout) as d:
        if d.rollout.is_closed and not d.rollout.has(FactKind.WRAPPED_UP):
            return "end_pilot"  # nobody decided in time
        decision = wrap_up.needed_decision(d.rollout).payload["decision"]
    log.info("The decision is: %s", decision)
    return {RELEASE: "wait_for_deployment_test", PROLONG: "prolong_pilot"}.get(decision, "end_pilot")


@task.branch
def renew_deployment_test(rollout: str) -> str:
    """Step 10. Another test where the newest was of another update; a release that is refused anyway waits for none."""
    with desk(rollout) as d:
        patch = d.patch
        needed = deployment_tests.needs_deployment_test(d.facts, patch) and not reasons_if_changed(d.rollout, patch)
        if needed and overruling.standing(d.facts, patch.number) is None:
            log.info("The newest deployment test was not of patch %s as it is now.", patch.number)
            return "start_another_deployment_test"
        return "release_update"


# what was skipped is the other test, where none is needed
@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, execution_timeout=LIMITS.build)
def release_update(rollout: str) -> bool:
    """Step 10. Release notes, then the packages that were tried into production, unless the rules say no."""
    with desk(rollout) as d:
        notes.write_pilot_notes(d, d.services.publication_folder)
        with watched(d):
            reasons = end.release_pilot(d, d.services.production)
        for reason in reasons:
            log.warning("Not released to production: %s", reason)
        d.tell_tracker(d.rollout.patch_number)
        d.send()
        return not reasons


@task
def prolong_pilot(rollout: str) -> str:
    """Step 10. This round ends; returns the name of the next one, which is another run of this DAG."""
    with desk(rollout) as d:
        end.close_pilot(d)
        meetings.tell_end(d)
        d.send()
        return end.next_round_name(d)


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def end_pilot(rollout: str) -> str:
    """Step 10. The end: everybody is told; returns the outcome."""
    with desk(rollout) as d:
        outcome = end.close_pilot(d)
        meetings.tell_end(d)
        d.send()
        return outcome
