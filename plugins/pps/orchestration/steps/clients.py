"""The steps of the rollout paths as Airflow tasks: each validates, calls one activity, returns identifiers.

What is legal is decided by the domain, so clearing a task can repeat a step, never skip a rule.
Shared by all: `rollout` is a rollout's name, `batch` the name of a batch of its plan.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from pps.activities.clients import certification, gates, nightly, opening, probing, publication
from pps.activities.packages import tarball
from pps.activities.packages.fetching import note_trust
from pps.activities.people import asking, feedback_dates, following, notification
from pps.activities.pilots import effort, meetings, running
from pps.activities.ports.sites import SshTarget
from pps.activities.release import notes as release_notes
from pps.activities.release import release
from pps.activities.sites.batch import Door
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.names import checked_name
from pps.domain.clients.batches import GateVerdict
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import STRAGGLERS, RolloutPath, occasion_of
from pps.domain.record.site_states import OFFERED, SiteState
from pps.domain.sites.site import Site
from pps.orchestration import labels, run_notes
from pps.orchestration.in_time import awaited
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import desk, office, run_of
from pps.orchestration.targets import ssh_targets
from pps.workflow import submissions
from pps.workflow.alarm import raise_alarm, tell_what_is_not_as_published, watched
from pps.workflow.desk import FrontDesk, FrontOffice

log = logging.getLogger(__name__)

_PASSED = (SiteState.TESTED, *OFFERED)
#: Time for the hourly sweep to find a pilot that ended without telling those who were invited.
_JUST_ENDED = timedelta(days=7)


def _sites(d: FrontDesk, batch: str) -> list[Site]:
    """The sites of a batch; one that has left the registry since the plan is no longer ours to touch."""
    return [d.config.sites[name] for name in d.rollout.batch(batch) if name in d.config.sites]


def _targets(sites: Iterable[Site]) -> dict[str, SshTarget]:
    """How to log in; a site without a usable Connection is missing, and fails alone."""
    return ssh_targets(sites, on_error=lambda site, error: log.error("%s", error))


def _door(d: FrontDesk, sites: Iterable[Site], occasion: str) -> Door:
    places = d.policies.distribution.places
    return Door(_targets(sites), d.services.shell, d.policies.site_limits.to_port(), places, occasion, d.actor)


def _tell(facts: Iterable[Fact]) -> None:
    for fact in facts:
        log.info("%s: %s %s", fact.subject, fact.kind.value, fact.payload.get("reason", ""))


@task
def open_rollout(path: str) -> str:
    """Admit the patch and register the rollout; refused with reasons where a precondition fails."""
    context = get_current_context()
    with office() as o:
        patch = o.services.patch(int(context["params"]["patch"]))
        o.services.trust_in(patch.repository.url)  # before anything is opened that could not be read
        return opening.open_client_rollout(
            o, patch, path=RolloutPath(path), tag_vo=o.policies.publication.tag_vo, run=run_of(context)
        )


@task(execution_timeout=LIMITS.build)
def build_tarball(rollout: str) -> str:
    """Step 1. Returns the tarball's name, which holds its digest."""
    with desk(rollout) as d, tempfile.TemporaryDirectory(prefix="pps-tarball-") as folder:
        patch = d.patch
        note_trust(d, d.services.trust_in(patch.repository.url))
        with watched(d):
            return tarball.ensure_tarball(
                d,
                repositories=d.services.repositories,
                reader=d.services.package_reader,
                artefacts=d.services.artefacts,
                limits=d.policies.tarball.to_port(),
                workdir=Path(folder),
            ).name


@task
def plan_batches(rollout: str) -> list[str]:
    """Agree on canaries and batches. Returns the names of the fleet's batches."""
    with desk(rollout) as d:
        return list(opening.record_plan(d, d.config.sites.values(), d.policies.distribution.to_domain()))


@task(trigger_rule=TriggerRule.NONE_FAILED)
def plan_stragglers(rollout: str) -> list[str]:
    """A last batch of the sites without which theirs have ended, if there are any: they get all their time."""
    with desk(rollout) as d:
        return [STRAGGLERS] if d.rollout.batch(STRAGGLERS) else []


def _stop(d: FrontDesk, reasons: tuple[str, ...]) -> None:
    people = [d.config.service.reply_to, *notification.addresses_told(d.rollout)]
    gates.stop(d, reasons, people)
    d.write_bulletin()
    d.send()


@task(map_index_template=labels.BATCH, execution_timeout=LIMITS.at_sites)
def run_probe_tests(rollout: str, batch: str) -> None:
    """Step 3. Probes in the Nagios convention at every site of the batch that has the preview."""
    with desk(rollout) as d:
        sites = _sites(d, batch)
        with watched(d):
            built = tarball.tarball_on_record(d.rollout)
        door = _door(d, sites, occasion_of(batch))
        _tell(awaited(probing.probe(d, built, sites, door)))
        progress = d.rollout.all_progress(s.name for s in sites)
        labels.say_how_it_went(rollout, batch, labels.counted(progress, "passed", _PASSED, "probe"))


@task(map_index_template=labels.BATCH, execution_timeout=LIMITS.at_sites)
def publish_tag(rollout: str, batch: str) -> None:
    """Step 4. The tag at every site of the batch whose probes have passed."""
    with desk(rollout) as d:
        sites = _sites(d, batch)
        door = _door(d, sites, occasion_of(batch))
        _tell(awaited(publication.publish_tags(d, d.rollout.tag, sites, door)))
        progress = d.rollout.all_progress(s.name for s in sites)
        labels.say_how_it_went(rollout, batch, labels.counted(progress, "tagged", OFFERED, "publish tag"))


@task
def canaries_are_healthy(rollout: str) -> str:
    """The gate: the fleet gets the preview only after the canaries have it and pass."""
    with desk(rollout) as d:
        gates.must_go_on(d.rollout)
        verdict, why = gates.pass_gate(d, d.policies.distribution.to_domain())
        if verdict is not GateVerdict.HEALTHY:
            _stop(d, (f"The canaries' verdict is {verdict}.", *why))
            raise RefusedError(rollout, why, "Look at the canaries, then start a new rollout.")
        return verdict.value


def _stop_if_budget_is_used_up(d: FrontDesk) -> None:
    if reasons := gates.budget_reasons(d.rollout, d.policies.distribution.to_domain()):
        _stop(d, reasons)
        raise NotYetAllowedError(d.name, " ".join(reasons), "Look at the sites' reasons, then start a new rollout.")


@task(trigger_rule=TriggerRule.NONE_FAILED)
def failure_budget_holds(rollout: str) -> None:
    """Nobody is invited to a preview that failed at too many sites, even if only in the last batch."""
    with desk(rollout) as d:
        gates.must_go_on(d.rollout)
        _stop_if_budget_is_used_up(d)


@task
def agree_feedback_date(rollout: str) -> str:
    """The date until which VOs may answer: agreed once, a fact from then on."""
    wanted = get_current_context()["params"].get("feedback_until")
    with desk(rollout) as d:
        usual = d.policies.feedback.open_for
        due = datetime.fromisoformat(wanted) if wanted else d.now + usual
        return feedback_dates.agree_feedback_date(d, due, otherwise=usual).isoformat()


@task
def update_release_bulletin(rollout: str) -> None:
    """Step 5. The bulletin is written anew from the facts; failed sites are told why."""
    with desk(rollout) as d:
        notification.tell_failed_sites(d, d.config.sites)
        d.write_bulletin()
        d.send()


@task
def broadcast_to_vos_and_rocs(rollout: str) -> None:
    """Step 6. General notification, with each VO's own link to the feedback channel."""
    wanted = get_current_context()["params"].get("vos")
    with desk(rollout) as d:
        feedback_dates.ask_in_time(d, d.policies.feedback.open_for)
        notification.broadcast(d, d.services.audience(wanted))
        d.send()


@task
def invite_originators(rollout: str) -> None:
    """Step 7. Personal notification to those who reported the fixed bugs, with the invitation to verify."""
    with desk(rollout) as d:
        feedback_dates.ask_in_time(d, d.policies.feedback.open_for)
        notification.invite_originators(d, d.services.audience())
        d.send()


@task.branch
def certification_outcome(rollout: str) -> str:
    """Rejected: withdraw at once. Certified: decide on the release, once the feedback is in the notes."""
    with desk(rollout) as d:
        outcome = certification.certification_outcome(d.rollout)
    return "withdraw_preview" if outcome is certification.CertificationOutcome.REJECTED else "decide_on_release"


@task.short_circuit
def decide_on_release(rollout: str) -> bool:
    """SD 4.1.1, last paragraph; the notes are brought up to date first. A refusal ends the run here, with its reasons
    in the log and the bulletin."""
    with desk(rollout) as d:
        release_notes.renew_release_notes(d, d.services.publication_folder, d.policies.feedback.terms())
        reasons = release.decide_on_release(d)
        for reason in reasons:
            log.warning("Not released to production: %s", reason)
        if reasons:
            d.write_bulletin()
        return not reasons


@task(execution_timeout=LIMITS.build)
def release_to_production(rollout: str) -> None:
    """Tarball and packages into the production repository, the patch to `In production`, people told."""
    with desk(rollout) as d:
        with watched(d):
            release.release_to_production(d, d.services.production)
        d.tell_tracker(d.rollout.patch_number)
        d.write_bulletin()
        d.send()


@task(execution_timeout=LIMITS.at_sites)
def look_at_sites() -> list[dict[str, str]]:
    """For every open preview: look at each site, compare, plan the night. Returns (rollout, batch) pairs."""
    with office() as o:
        return awaited(nightly.plan_the_night(_night(o)))


@task(execution_timeout=LIMITS.at_sites)
def look_where_windows_are_open() -> list[dict[str, str]]:
    """The same, of sites whose windows are open now; each site has its turn as its window opens (ADR 30)."""
    with office() as o:
        return awaited(nightly.plan_the_night(_night(o), windows_only=True))


@task(execution_timeout=LIMITS.at_sites)
def ask_again() -> list[dict[str, str]]:
    """Look at the sites that somebody wants to be tried again, and plan that; refused with reasons where there is
    nothing to try. Returns one (rollout, batch) pair."""
    context = get_current_context()
    wanted = context["params"].get("sites") or ()
    with desk(checked_name(str(context["params"]["rollout"]), "rollout")) as d:
        return awaited(nightly.plan_another_try(_night(d), d.name, wanted, run_of(context)))


def _night(o: FrontOffice) -> nightly.Night:
    return nightly.Night(
        o,
        o.config.sites,
        _targets,
        o.services.shell,
        o.services.artefacts,
        o.services.information_system,
        o.policies.site_limits.to_port(),
        o.policies.distribution.places,
        lambda record, error: raise_alarm(o.desk(record), error),
    )


@task(trigger_rule=TriggerRule.ALL_DONE)
def update_release_bulletin_of_tonight() -> None:
    """Step 5, for all open previews."""
    with office() as o:
        o.write_bulletin()


# without it a run whose last tasks run in any case would be green, whatever failed before them
@task(trigger_rule=TriggerRule.ONE_FAILED)
def say_what_failed() -> None:
    """What could be done was done; that something was not shows at the run."""
    raise AirflowFailException("A task of this run failed: see which of them is red. All others go on.")


@task
def remind() -> int:
    """Remind everybody who is due for it, and VOs and late sites of a pilot, and tell followers what is new; returns
    how many mails are new.

    Meetings of pilots that have ended are called off, where that was not done at the end. Releases that are accepted,
    and not in the tracker yet, are entered.
    """
    with office() as o:
        submissions.enter_waiting(o)
        remind_at = o.policies.questions.remind_at
        new = asking.remind(o, remind_at)
        new += meetings.cancel_meetings_of_ended(o, ended_within=_JUST_ENDED, organizer=o.config.service.reply_to)
        pilots = running.open_pilots(o.facts)
        for record in pilots:  # weeks of support end by themselves
            effort.credit_pilot(o.desk(record), o.config.activities, o.config.sites)
        if pilots:
            new += running.remind_about_pilots(o, o.services.audience(), o.config.sites, remind_at)
        return new + following.tell_followers(o, lambda: o.services.feedback_secret, o.config.service.public_url)


@task
def renew_signatures() -> list[str]:
    """Sign our repositories' indexes again before their signatures expire; returns where it was done."""
    with office() as o:
        return list(o.services.renew_signatures(o.now))


@task(execution_timeout=LIMITS.build)
def look_at_what_is_published() -> list[str]:
    """Compare what our repositories hold with what was published; people hear of each difference. Returns them."""
    with office() as o:
        return [f"{m.place} {m.why}" for m in tell_what_is_not_as_published(o)]


@task(trigger_rule=TriggerRule.ALL_DONE)
def send_mails() -> None:
    """Mails and tickets that could not go when they were written; and what the tracker says of bugs and CVEs."""
    with office() as o:
        o.look_at_advice()  # first: what is under embargo since is not sent
        o.send()
        for rollout in o.tell_tracker().rollouts:
            run_notes.tell_opener(o.facts.rollout(rollout), o.services)
        o.look_at_bugs()
