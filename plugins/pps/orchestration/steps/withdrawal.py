"""The steps of a withdrawal, and of what every night retires, as Airflow tasks (`activities.clients.withdrawal`)."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import get_current_context, task

from pps.activities.clients import withdrawal
from pps.activities.people import notification
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.base.names import checked_name
from pps.domain.record.rollouts import Rollout
from pps.orchestration.in_time import awaited
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import actor, now, services
from pps.orchestration.steps.clients import _door, _patch_number, _send, _tell
from pps.services import Services

_OCCASION = "withdrawal"


def _retire_after(s: Services) -> timedelta:
    return s.config.policies.withdrawal.retire_after


def _withdraw_tags(s: Services, record: Rollout, names: tuple[str, ...], occasion: str) -> None:
    sites = s.known_sites(names)
    reason = withdrawal.reason_for_removal(record, _retire_after(s))
    door = _door(s, sites, occasion)
    _tell(awaited(withdrawal.withdraw_tags(record, s.facts, sites, door, now(), reason=reason)))


def _remove(s: Services, record: Rollout, names: tuple[str, ...], occasion: str) -> None:
    sites = s.known_sites(names)
    reason = withdrawal.reason_for_removal(record, _retire_after(s))
    door = _door(s, sites, occasion)
    _tell(awaited(withdrawal.remove_previews(record, s.facts, sites, door, now(), reason=reason)))


def _conclude(s: Services, rollout: str) -> None:
    """Tell people, then close: the patch is free when all who must know have a mail in the outbox."""
    record = s.facts.rollout(rollout)
    service = s.config.service
    notification.tell_of_withdrawal(
        record, s.facts, s.config.sites, service.reply_to, service.public_url, s.templates, now(), actor()
    )
    withdrawal.close_withdrawn(record, s.facts, now(), actor())


@task
def ask_for_withdrawal() -> str:
    """Put on record that a preview is to be withdrawn, and why; refused with reasons where there is none to withdraw.

    Returns the rollout's name.
    """
    params = get_current_context()["params"]
    rollout = checked_name(str(params["rollout"]), "rollout")
    with services() as s:
        withdrawal.ask_for_withdrawal(s.facts.rollout(rollout), s.facts, str(params["reason"]), now(), actor())
        s.write_bulletin(now())
    return rollout


@task
def withdraw_preview(rollout: str) -> None:
    """The patch was rejected: nobody gets its preview any more, and it leaves the sites that have it."""
    with services() as s:
        record = s.facts.rollout(rollout)
        reason = f"Certification rejected patch {_patch_number(record)}."
        withdrawal.ask_for_withdrawal(record, s.facts, reason, now(), actor())
        s.write_bulletin(now())


@task(execution_timeout=LIMITS.at_sites)
def withdraw_tags(rollout: str) -> None:
    """The tags go first, so that no new job is sent to the preview: at every site that has it or may have it."""
    with services() as s:
        record = s.facts.rollout(rollout)
        if not record.is_withdrawn:
            raise NotYetAllowedError(rollout, "nobody has asked to withdraw it.", "Start the DAG withdraw_rollout.")
        _withdraw_tags(s, record, record.reached_sites, _OCCASION)


@task(execution_timeout=LIMITS.at_sites)
def remove_previews(rollout: str) -> None:
    """The files, when no job can be matched any more. A site that cannot be reached is left to the night."""
    with services() as s:
        record = s.facts.rollout(rollout)
        _remove(s, record, record.reached_sites, _OCCASION)


@task
def tell_of_withdrawal(rollout: str) -> None:
    """Who was told of the preview, and the sites that had it, hear that it is gone, and why; the rollout ends."""
    with services() as s:
        _conclude(s, rollout)
        s.write_bulletin(now())
        _send(s)


@task(execution_timeout=LIMITS.at_sites)
def withdraw_retired_tags() -> list[str]:
    """Of previews that have to leave sites tonight, the tags go first. Returns their rollouts."""
    with services() as s:
        retired = withdrawal.retired_previews(s.facts, now(), _retire_after(s))
        for record in retired:
            names = withdrawal.sites_to_clear(record, now(), _retire_after(s))
            _withdraw_tags(s, record, names, f"night-{now():%Y-%m-%d}")
        return [record.name for record in retired]


@task(execution_timeout=LIMITS.at_sites)
def remove_retired_previews(rollouts: list[str]) -> None:
    """Their files. A withdrawal that broke off is brought to its end; retirement itself is no news to anybody."""
    with services() as s:
        for rollout in rollouts:
            record = s.facts.rollout(rollout)
            names = withdrawal.sites_to_clear(record, now(), _retire_after(s))
            _remove(s, record, names, f"night-{now():%Y-%m-%d}")
            if record.is_withdrawn:
                _conclude(s, rollout)
        _send(s)
