"""The steps of the rollout paths as Airflow tasks: each validates, calls one activity, returns identifiers.

What is legal is decided by the domain, so clearing a task can repeat a step, never skip a rule.
Shared by all: `rollout` is a rollout's name, `batch` the name of a batch of its plan.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import TriggerRule, get_current_context, task

from pps.activities.clients import certification, distribution, gates, nightly, opening, probing, publication
from pps.activities.packages import tarball
from pps.activities.packages.fetching import note_trust
from pps.activities.people import asking, feedback, notification, outbox
from pps.activities.pilots import effort as pilot_effort
from pps.activities.pilots import meetings as pilot_meetings
from pps.activities.pilots import running as pilot_running
from pps.activities.ports.sites import SshTarget
from pps.activities.release import notes as release_notes
from pps.activities.release import release
from pps.activities.sites.batch import Door
from pps.domain.base.errors import NotYetAllowedError, PackageError, RefusedError
from pps.domain.clients.batches import GateVerdict
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath, occasion_of
from pps.domain.sites.site import Site
from pps.orchestration.alarm import raise_alarm, watched
from pps.orchestration.in_time import awaited
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import actor, now, run_of, services
from pps.orchestration.targets import ssh_targets
from pps.services import Services

log = logging.getLogger(__name__)

#: The failure budget is looked at before each batch, so no more than these are under way when it is used up.
BATCHES_AT_ONCE = 2
#: Time for the hourly sweep to find a pilot that ended without telling those who were invited.
_JUST_ENDED = timedelta(days=7)


def _patch_number(record: Rollout) -> int:
    return int(record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").payload["patch"])


def _sites(s: Services, record: Rollout, batch: str) -> list[Site]:
    """The sites of a batch; one that has left the registry since the plan is no longer ours to touch."""
    return [s.config.sites[name] for name in record.batch(batch) if name in s.config.sites]


def _targets(sites: Iterable[Site]) -> dict[str, SshTarget]:
    """How to log in; a site without a usable Connection is missing, and fails alone."""
    return ssh_targets(sites, on_error=lambda site, error: log.error("%s", error))


def _door(s: Services, sites: Iterable[Site], occasion: str) -> Door:
    at_once = s.config.policies.distribution.sites_at_once_per_batch
    return Door(_targets(sites), s.shell, s.config.policies.site_limits.to_port(), at_once, occasion, actor())


def _tell(facts: Iterable[Fact]) -> None:
    for fact in facts:
        log.info("%s: %s %s", fact.subject, fact.kind.value, fact.payload.get("reason", ""))


def _send(s: Services) -> None:
    """Empty the outbox; what cannot be sent now stays in it for the next sender."""
    outbox.empty_outbox(s.facts, s.mailer, now)


@task
def open_rollout(path: str) -> str:
    """Admit the patch and register the rollout; refused with reasons where a precondition fails."""
    context = get_current_context()
    with services() as s:
        patch = s.tracker.patch(int(context["params"]["patch"]))
        s.trust_in(patch.repository.url)  # before anything is opened that could not be read
        return opening.open_client_rollout(
            s.facts,
            patch,
            path=RolloutPath(path),
            tag_vo=s.config.policies.publication.tag_vo,
            run=run_of(context),
            now=now(),
            actor=actor(),
        )


@task(execution_timeout=LIMITS.build)
def build_tarball(rollout: str) -> str:
    """Step 1. Returns the tarball's name, which holds its digest."""
    with services() as s, tempfile.TemporaryDirectory(prefix="pps-tarball-") as folder:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(_patch_number(record))
        note_trust(record, s.facts, patch, s.trust_in(patch.repository.url), now(), actor())
        with watched(s, record):
            return tarball.ensure_tarball(
                record,
                patch,
                facts=s.facts,
                repositories=s.repositories,
                reader=s.package_reader,
                artefacts=s.artefacts,
                limits=s.config.policies.tarball.to_port(),
                workdir=Path(folder),
                now=now(),
                actor=actor(),
            ).name


@task
def plan_batches(rollout: str) -> list[str]:
    """Agree on canaries and batches. Returns the names of the fleet's batches."""
    with services() as s:
        record = s.facts.rollout(rollout)
        return list(
            opening.record_plan(
                record,
                s.facts,
                s.tracker.patch(_patch_number(record)),
                s.config.sites.values(),
                s.config.policies.distribution.to_domain(),
                now(),
                actor(),
            )
        )


def _stop(s: Services, record: Rollout, reasons: tuple[str, ...]) -> None:
    people = [s.config.service.reply_to, *notification.addresses_told(record)]
    gates.stop(record, s.facts, s.templates, reasons, people, now(), actor())
    s.write_bulletin(now())
    _send(s)


@task(
    map_index_template="{{ batch_name }}", max_active_tis_per_dagrun=BATCHES_AT_ONCE, execution_timeout=LIMITS.at_sites
)
def distribute_client(rollout: str, batch: str) -> dict[str, int]:
    """Step 2. One batch of sites, concurrently, one connection each. Returns how many sites ended how."""
    get_current_context()["batch_name"] = batch  # type: ignore[typeddict-unknown-key]
    with services() as s:
        record = s.facts.rollout(rollout)
        gates.must_go_on(record)
        if reasons := gates.budget_reasons(record, s.config.policies.distribution.to_domain()):
            _stop(s, record, reasons)
            raise NotYetAllowedError(
                rollout, " ".join(reasons), "Look at the sites' reasons, then start a new rollout."
            )
        sites = _sites(s, record, batch)
        with watched(s, record, also=PackageError):
            outcomes = awaited(
                distribution.distribute(
                    record,
                    s.facts,
                    tarball.tarball_of(record, s.artefacts),
                    sites,
                    _door(s, sites, occasion_of(batch)),
                    artefacts=s.artefacts,
                    now=now,
                    cache=s.payload_cache,
                    progress=lambda outcome: log.info("%s", outcome.text),
                    alarm=lambda error: raise_alarm(s, record, error),
                )
            )
        return dict(Counter("failed" if o.receipt is None else o.receipt.how.value for o in outcomes))


@task(execution_timeout=LIMITS.at_sites)
def run_probe_tests(rollout: str, batch: str) -> None:
    """Step 3. Probes in the Nagios convention at every site of the batch that has the preview."""
    with services() as s:
        record = s.facts.rollout(rollout)
        sites = _sites(s, record, batch)
        with watched(s, record):
            built = tarball.tarball_on_record(record)
        door = _door(s, sites, occasion_of(batch))
        _tell(awaited(probing.probe(record, s.facts, built, sites, door, now=now())))


@task(execution_timeout=LIMITS.at_sites)
def publish_tag(rollout: str, batch: str) -> None:
    """Step 4. The tag at every site of the batch whose probes have passed."""
    with services() as s:
        record = s.facts.rollout(rollout)
        sites = _sites(s, record, batch)
        door = _door(s, sites, occasion_of(batch))
        _tell(awaited(publication.publish_tags(record, s.facts, record.tag, sites, door, now())))


@task
def canaries_are_healthy(rollout: str) -> str:
    """The gate: the fleet gets the preview only after the canaries have it and pass."""
    with services() as s:
        record = s.facts.rollout(rollout)
        gates.must_go_on(record)
        verdict, why = gates.pass_gate(record, s.facts, s.config.policies.distribution.to_domain(), now(), actor())
        if verdict is not GateVerdict.HEALTHY:
            _stop(s, record, (f"The canaries' verdict is {verdict}.", *why))
            raise RefusedError(rollout, why, "Look at the canaries, then start a new rollout.")
        return verdict.value


def _stop_if_budget_is_used_up(s: Services, record: Rollout) -> None:
    if reasons := gates.budget_reasons(record, s.config.policies.distribution.to_domain()):
        _stop(s, record, reasons)
        raise NotYetAllowedError(
            record.name, " ".join(reasons), "Look at the sites' reasons, then start a new rollout."
        )


@task(trigger_rule=TriggerRule.NONE_FAILED)
def failure_budget_holds(rollout: str) -> None:
    """Nobody is invited to a preview that failed at too many sites, be it in the last batch."""
    with services() as s:
        record = s.facts.rollout(rollout)
        gates.must_go_on(record)
        _stop_if_budget_is_used_up(s, record)


@task
def agree_feedback_date(rollout: str) -> str:
    """The date until which VOs may answer: agreed once, a fact from then on."""
    wanted = get_current_context()["params"].get("feedback_until")
    with services() as s:
        due = datetime.fromisoformat(wanted) if wanted else now() + s.config.policies.feedback.open_for
        return feedback.agree_feedback_date(s.facts.rollout(rollout), s.facts, due, now(), actor()).isoformat()


@task
def update_release_bulletin(rollout: str) -> None:
    """Step 5. The bulletin is written anew from the facts; failed sites are told why."""
    with services() as s:
        record = s.facts.rollout(rollout)
        notification.tell_failed_sites(record, s.facts, s.config.sites, s.templates, now(), actor())
        s.write_bulletin(now())
        _send(s)


@task
def broadcast_to_vos_and_rocs(rollout: str) -> None:
    """Step 6. General notification, with each VO's own link to the feedback channel."""
    wanted = get_current_context()["params"].get("vos")
    with services() as s:
        record = s.facts.rollout(rollout)
        notification.broadcast(
            record,
            s.facts,
            s.tracker.patch(_patch_number(record)),
            s.audience(wanted),
            s.templates,
            now(),
            actor(),
        )
        _send(s)


@task
def invite_originators(rollout: str) -> None:
    """Step 7. Personal notification to who reported the fixed bugs, with the invitation to verify."""
    with services() as s:
        record = s.facts.rollout(rollout)
        notification.invite_originators(
            record,
            s.facts,
            s.tracker.patch(_patch_number(record)),
            s.audience(),
            s.templates,
            now(),
            actor(),
        )
        _send(s)


@task(trigger_rule=TriggerRule.NONE_FAILED)
def write_release_notes(rollout: str) -> str:
    """What changed, and what the VOs said, or that nobody answered. Returns the notes' digest."""
    with services() as s:
        record = s.facts.rollout(rollout)
        digest = release_notes.write_release_notes(
            record, s.facts, s.tracker.patch(_patch_number(record)), s.templates, s.publication_folder, now(), actor()
        )
        s.write_bulletin(now())
        return digest


@task.branch
def certification_outcome(rollout: str) -> str:
    """Rejected: withdraw at once. Certified: decide on the release, once the feedback is in the notes."""
    with services() as s:
        outcome = certification.certification_outcome(s.facts.rollout(rollout))
    return "withdraw_preview" if outcome is certification.CertificationOutcome.REJECTED else "decide_on_release"


@task.short_circuit
def decide_on_release(rollout: str) -> bool:
    """SD 4.1.1, last paragraph; the notes are brought up to date before. A refusal ends the run here, with its reasons
    in the log and the bulletin."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(_patch_number(record))
        release_notes.renew_release_notes(record, s.facts, patch, s.templates, s.publication_folder, now(), actor())
        reasons = release.decide_on_release(record, s.facts, patch, now(), actor())
        for reason in reasons:
            log.warning("Not released to production: %s", reason)
        if reasons:
            s.write_bulletin(now())
        return not reasons


@task(execution_timeout=LIMITS.build)
def release_to_production(rollout: str) -> None:
    """Tarball and packages into the production repository, the patch to `In production`, people told."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(_patch_number(record))
        with watched(s, record):
            release.release_to_production(record, s.facts, patch, s.production, now(), actor())
        s.write_bulletin(now())
        _send(s)


@task(execution_timeout=LIMITS.at_sites)
def look_at_sites() -> list[dict[str, str]]:
    """For every open preview: look at each site, compare, plan the night. Returns (rollout, batch) pairs."""
    with services() as s:
        night = nightly.Night(
            s.facts,
            s.config.sites,
            _targets,
            s.shell,
            s.artefacts,
            s.information_system,
            s.config.policies.site_limits.to_port(),
            s.config.policies.distribution.sites_at_once_per_batch,
            now,
            actor(),
            lambda record, error: raise_alarm(s, record, error),
        )
        return awaited(nightly.plan_the_night(night))


@task(trigger_rule=TriggerRule.ALL_DONE)
def update_release_bulletin_of_tonight() -> None:
    """Step 5, for all open previews."""
    with services() as s:
        s.write_bulletin(now())


@task
def remind() -> int:
    """Remind everybody who is due for it, and VOs and late sites of a pilot; returns how many mails are new.

    Meetings of pilots that have ended are called off, where that was not done at the end.
    """
    with services() as s:
        remind_at = s.config.policies.questions.remind_at
        new = asking.remind(s.facts, s.templates, remind_at, now(), actor())
        new += pilot_meetings.cancel_meetings_of_ended(
            s.facts,
            s.templates,
            ended_within=_JUST_ENDED,
            organizer=s.config.service.reply_to,
            now=now(),
            actor=actor(),
        )
        pilots = pilot_running.open_pilots(s.facts)
        for record in pilots:  # weeks of support end by themselves
            pilot_effort.credit_pilot(record, s.facts, s.config.activities, s.config.sites, now(), actor())
        if pilots:
            new += pilot_running.remind_about_pilots(
                s.facts, s.templates, s.audience(), s.config.sites, remind_at, now(), actor()
            )
        return new


@task
def renew_signatures() -> list[str]:
    """Sign our repositories' indexes again before their time is over; returns where it was done."""
    with services() as s:
        return list(s.renew_signatures(now()))


@task(execution_timeout=LIMITS.build)
def look_at_what_is_published() -> list[str]:
    """Compare what our repositories hold with what was published; people hear of each difference. Returns them."""
    with services() as s:
        return [f"{m.place} {m.why}" for m in s.tell_what_is_not_as_published(now(), actor())]


@task(trigger_rule=TriggerRule.ALL_DONE)
def send_mails() -> None:
    """Mails that could not be sent when they were written."""
    with services() as s:
        _send(s)
