"""VOs use a pilot of a major update, and say how it went (SD 4.1.3, "General policies")."""

from __future__ import annotations

from datetime import datetime

from pps.activities.desk import Desk
from pps.activities.people.notification import Audience
from pps.activities.people.tokens import invitation_token
from pps.domain.people import feedback
from pps.domain.people.feedback import Terms
from pps.domain.people.links import feedback_api, feedback_link
from pps.domain.pilots import rules
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout


def vos_may_begin(record: Rollout) -> bool:
    """Tell whether VOs need wait no longer: the installation is complete, or there is nothing to wait for."""
    return record.is_over or Pilot(record).running_since is not None or record.has(FactKind.RUN_ENDED)


def vos_are_heard(record: Rollout, now: datetime, terms: Terms = feedback.AS_AGREED) -> bool:
    """Tell whether nothing more is to be waited for from the VOs: enough have answered, or the agreed date has passed.

    No VO is waited for that has not committed itself, and none where no site has the service any more (`success`).
    """
    pilot = Pilot(record)
    if record.is_over or pilot.agreement is None or not pilot.agreement.vos or not pilot.serving:
        return True
    return feedback.feedback_is_over(record, now, terms)


def invite_vos(desk: Desk, audience: Audience) -> int:
    """Tell each committed VO where the pilot is, and ask for its feedback; returns how many mails are new.

    Nobody is invited to a service that is gone already.

    Args:
        audience: all VOs of people.yaml; those that have committed themselves are picked.
    """
    record = desk.rollout
    patch = desk.patch
    pilot = Pilot(record)
    agreed = pilot.agreement
    if not pilot.is_major or agreed is None or not agreed.vos or record.is_over or not pilot.serving:
        return 0
    rules.may_run(pilot)
    record.need(FactKind.FEEDBACK_DATE_AGREED, "Enter the outcome of the kick-off meeting.")
    known = feedback.invited_vos(record)
    told, mails = [], []
    for vo in audience.vos:
        if vo.name not in agreed.vos or vo.name in known:
            continue
        token = invitation_token(audience.secret, record.name, vo.name, agreed.feedback_until)
        view = {
            "rollout": record.name,
            "patch": patch,
            "recipient": vo.name,
            "round": pilot.round,
            "endpoints": [(site, _endpoint(pilot, site)) for site in pilot.serving],
            "requirements": agreed.requirements,
            "runs_until": pilot.runs_until,
            "due": agreed.feedback_until,
            "token": token,
            "feedback_link": feedback_link(audience.public_url, record.name, vo.name, token),
            "feedback_api": feedback_api(audience.public_url, record.name),
        }
        fact = desk.fact(FactKind.VO_INVITED, vo.name, "", {"to": vo.address})
        told.append(fact)
        mails.append(
            desk.letter(
                "pilot_invitation_vo",
                view,
                key=fact,
                to=vo.address,
                subject=f"The pilot of {patch.metapackage} {patch.version} runs: please use it (patch {patch.number})",
            )
        )
    return len(desk.record(*told, mails=mails))


def _endpoint(pilot: Pilot, site: str) -> str:
    fact = pilot.service_at(site)
    return str(fact.payload["endpoint"]) if fact else ""
