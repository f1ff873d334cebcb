"""The steps of a withdrawal, and of what every night retires, as Airflow tasks (`activities.clients.withdrawal`)."""

from __future__ import annotations

from airflow.sdk import get_current_context, task

from pps.activities.clients import signing, withdrawal
from pps.activities.people import notification
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.base.names import checked_name
from pps.orchestration.in_time import awaited
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import desk, office
from pps.orchestration.steps.clients import _door, _tell
from pps.workflow.desk import FrontDesk

_OCCASION = "withdrawal"


def _withdraw_tags(d: FrontDesk, names: tuple[str, ...], occasion: str) -> None:
    sites = d.services.known_sites(names)
    reason = withdrawal.reason_for_removal(d.rollout, d.policies.withdrawal.retire_after)
    _tell(awaited(withdrawal.withdraw_tags(d, sites, _door(d, sites, occasion), reason=reason)))


def _remove(d: FrontDesk, names: tuple[str, ...], occasion: str) -> None:
    sites = d.services.known_sites(names)
    reason = withdrawal.reason_for_removal(d.rollout, d.policies.withdrawal.retire_after)
    _tell(awaited(withdrawal.remove_previews(d, sites, _door(d, sites, occasion), reason=reason)))


def _conclude(d: FrontDesk) -> None:
    """Tell people, then close: the patch is free when all who must know have a mail in the outbox."""
    service = d.config.service
    notification.tell_of_withdrawal(d, d.config.sites, service.reply_to, service.public_url)
    withdrawal.close_withdrawn(d)


@task
def ask_for_withdrawal() -> str:
    """Put on record that a preview is to be withdrawn, and why; refused with reasons where there is none to withdraw.

    Returns the rollout's name.
    """
    params = get_current_context()["params"]
    rollout = checked_name(str(params["rollout"]), "rollout")
    with desk(rollout) as d:
        withdrawal.ask_for_withdrawal(d, str(params["reason"]))
        d.write_bulletin()
    return rollout


@task
def withdraw_preview(rollout: str) -> None:
    """The patch was rejected: nobody gets its preview any more, and it leaves the sites that have it."""
    with desk(rollout) as d:
        reason = f"Certification rejected patch {d.rollout.patch_number}."
        withdrawal.ask_for_withdrawal(d, reason)
        d.write_bulletin()


@task(execution_timeout=LIMITS.at_sites)
def withdraw_tags(rollout: str) -> None:
    """The tags go first, so that no new job is sent to the preview: at every site that has it or may have it."""
    with desk(rollout) as d:
        if not d.rollout.is_withdrawn:
            raise NotYetAllowedError(rollout, "nobody has asked to withdraw it.", "Start the DAG withdraw_rollout.")
        _withdraw_tags(d, d.rollout.reached_sites, _OCCASION)


@task(execution_timeout=LIMITS.at_sites)
def remove_previews(rollout: str) -> None:
    """The files, when no job can be matched any more. A site that cannot be reached is left to the night."""
    with desk(rollout) as d:
        _remove(d, d.rollout.reached_sites, _OCCASION)


@task(execution_timeout=LIMITS.at_sites)
def remove_where_signed(rollout: str) -> None:
    """The files at sites with a kit, when two people have signed that they go; skipped where there is none."""
    with desk(rollout) as d:
        _remove(d, signing.with_kits(d.services.known_sites(d.rollout.reached_sites)), _OCCASION)


@task
def tell_of_withdrawal(rollout: str) -> None:
    """All who were told of the preview, and the sites that had it, hear that it is gone, and why; the rollout ends."""
    with desk(rollout) as d:
        _conclude(d)
        d.write_bulletin()
        d.send()


@task(execution_timeout=LIMITS.at_sites)
def withdraw_retired_tags() -> list[str]:
    """Of previews that have to leave sites tonight, the tags go first. Returns their rollouts."""
    with office() as o:
        retire_after = o.policies.withdrawal.retire_after
        retired = withdrawal.retired_previews(o.facts, o.now, retire_after)
        for record in retired:
            names = withdrawal.sites_to_clear(record, o.now, retire_after)
            _withdraw_tags(o.desk(record), names, f"night-{o.now:%Y-%m-%d}")
        return [record.name for record in retired]


@task(execution_timeout=LIMITS.at_sites)
def remove_retired_previews(rollouts: list[str]) -> None:
    """Their files. A withdrawal that broke off is brought to its end; retirement itself is no news to anybody."""
    with office() as o:
        for rollout in rollouts:
            d = o.desk(rollout)
            names = withdrawal.sites_to_clear(d.rollout, d.now, d.policies.withdrawal.retire_after)
            _remove(d, names, f"night-{d.now:%Y-%m-%d}")
            if d.rollout.is_withdrawn:
                _conclude(d)
        o.send()
