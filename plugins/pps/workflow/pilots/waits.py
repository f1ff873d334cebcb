"""What pilots wait for (SD 4.1.3, 4.1.4)."""

from __future__ import annotations

from pps.activities.pilots import roll_back, running, set_up, vos
from pps.activities.release import overruling
from pps.domain.pilots import looks
from pps.domain.pilots.pilot import Pilot
from pps.workflow.desk import FrontDesk
from pps.workflow.pilots.at_sites import credit_of_set_up


def pilot_is_set_up(d: FrontDesk, site: str) -> bool:
    """A site's pilot service is seen as it should be, or the site is left out (SD 4.1.3, 7)."""
    return set_up.set_up_is_settled(
        d,
        d.services.service_probes,
        d.services.information_system,
        d.site(site),
        site,
        patience=d.policies.publication.seen_within,
        grace=d.policies.pilots.answer_within,
        more=credit_of_set_up(d, site),
    )


def pilot_run_is_over(d: FrontDesk) -> bool:
    """The run is over (SD 4.1.3, 8). Each time it is asked, it looks at the services.

    Mails about incidents leave at once: a prompt reaction is wanted.
    """
    over = running.look_at_pilot(
        d,
        d.services.service_probes,
        d.config.sites,
        support=d.config.service.reply_to,
        incident_after=d.policies.pilots.incident_after,
    )
    d.send()
    if any(looks.incidents(d.rollout, site) for site in Pilot(d.rollout).sites):
        d.tell_tracker(d.rollout.patch_number)
    return over


def pilot_is_rolled_back(d: FrontDesk, site: str) -> bool:
    """The previous version answers again at a site, and the pilot is no longer published, or the time is up."""
    return roll_back.roll_back_is_settled(
        d,
        d.services.service_probes,
        d.services.information_system,
        d.site(site),
        site,
        give_up_after=d.policies.pilots.roll_back_within + d.policies.pilots.answer_within,
    )


def vos_may_begin(d: FrontDesk) -> bool:
    """The service is set up at all sites of a pilot, so that VOs can use it (SD 4.1.3, 8)."""
    return vos.vos_may_begin(d.rollout)


def vos_are_heard(d: FrontDesk) -> bool:
    """The committed VOs have answered, or the agreed date has passed (SD 4.1.3)."""
    heard = vos.vos_are_heard(d.rollout, d.now, d.policies.feedback.terms())
    return heard or overruling.standing(d.facts, d.rollout.patch_number) is not None


def pilot_ends_at_site(d: FrontDesk, site: str) -> bool:
    """The run is over, or a site's roll-back is asked for: then its people are asked to do it (SD 4.1.3, 8)."""
    pilot = Pilot(d.rollout)
    asked, gone = pilot.roll_back_asked(site) is not None, pilot.service_at(site) is None
    return asked or gone or pilot.run_is_over(d.now)
