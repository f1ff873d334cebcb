"""What may happen next in a pilot (SD 4.1.3, 4.1.4): the order of its steps, and who may speak for a site.

Every rule raises `NotYetAllowedError` with what must happen first, and is asked by the activity that acts, so a task
that is cleared, or marked successful by hand, skips none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from pps.domain.base.errors import NotYetAllowedError
from pps.domain.people import questions
from pps.domain.people.roles import reasons_against_speaking_for_site
from pps.domain.pilots.pilot import PROLONG, REPORT, Pilot, RunOutcome
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import Site


def must_be_accepted(pilot: Pilot) -> None:
    """Raise unless the Coordinator has accepted the request, and the pilot has not ended."""
    _must_be_open(pilot)
    if not pilot.is_accepted:
        raise NotYetAllowedError(pilot.name, "the request is not accepted.", "The Coordinator must answer it first.")


def may_select(pilot: Pilot, sites: Sequence[str]) -> None:
    """Raise unless these sites are candidates, and the documentation is there (SD 4.1.3, 2)."""
    must_be_accepted(pilot)
    if pilot.record.has(FactKind.KICK_OFF_AGREED):
        raise NotYetAllowedError(pilot.name, "the kick-off has agreed on its sites.", "Prolong it with other sites.")
    ranked = pilot.record.need(FactKind.CANDIDATES_RANKED, f"Rank the candidates: pps pilot candidates {pilot.name}")
    candidates = {c["site"] for c in ranked.payload["candidates"]}
    if not sites:
        raise NotYetAllowedError(pilot.name, "no site is selected.", "Select one at least.")
    if strangers := [site for site in sites if site not in candidates]:
        raise NotYetAllowedError(
            pilot.name,
            f"its candidates do not include {', '.join(strangers)}.",
            f"See: pps pilot candidates {pilot.name}",
        )
    checked = pilot.record.need(FactKind.DOCUMENTATION_CHECKED, "Check the documentation first.")
    if missing := checked.payload["missing"]:
        raise NotYetAllowedError(
            pilot.name, f"there is no documentation for {' and '.join(missing)}.", "Ask the developers for it."
        )


def may_kick_off(pilot: Pilot) -> None:
    """Raise unless the sites are selected (SD 4.1.3, 2 before 3 to 5)."""
    must_be_accepted(pilot)
    pilot.record.need(FactKind.SITES_SELECTED, "The Coordinator must select the sites first.")
    if pilot.running_since is not None or pilot.run_ended_at is not None:
        raise NotYetAllowedError(pilot.name, "it runs already; its dates are agreed.", "Prolong it at the wrap-up.")


def must_take_part(pilot: Pilot, site: str) -> None:
    """Raise unless a site takes part in it, or has."""
    if site not in (*pilot.selected, *pilot.served):
        raise NotYetAllowedError(pilot.name, f"{site} takes no part in it.", "Select the site first.")


def may_use(pilot: Pilot, *, certified: bool) -> None:
    """Raise unless the software is certified, or its use is justified on record.

    Source: SD 4.1.3: "it is recommendable to set up and upgrade the pilot services using only certified software.
    Exceptions [...] has however to be justified, documented and recorded". Who asked for the pilot may have said
    why; those concerned decide on it, at the kick-off or after (docs/adr/0014).

    Args:
        certified: whether the patch is now.
    """
    if not certified and pilot.exception is None:
        raise NotYetAllowedError(
            pilot.name,
            "the software is not certified, and nobody has put on record why it is used.",
            f"Say why: pps pilot justify {pilot.name}",
        )


def may_set_up(pilot: Pilot, site: str) -> None:
    """Raise unless the kick-off has agreed that this site sets the service up (SD 4.1.3, 5 before 7)."""
    _must_be_open(pilot)
    pilot.record.need(FactKind.KICK_OFF_AGREED, "Hold the kick-off meeting, and enter its outcome.")
    if site not in pilot.sites:
        raise NotYetAllowedError(f"{pilot.name} at {site}", "the site has no part in it.", "See: pps pilot show.")
    if pilot.run_ended is not None:
        raise NotYetAllowedError(pilot.name, "its run has ended.", "Prolong it at the wrap-up.")
    if pilot.rolled_back(site) is not None:
        raise NotYetAllowedError(
            pilot.name,
            f"{site} has rolled back: its part in this round has ended.",
            "Another round may set it up again.",
        )


def may_run(pilot: Pilot) -> None:
    """Raise unless every site's set-up is verified (SD 4.1.3, 7 before 8)."""
    _must_be_open(pilot)
    if pilot.running_since is None:
        who = ", ".join(pilot.awaited) or "any site"
        raise NotYetAllowedError(pilot.name, f"the set-up at {who} is not verified yet.", "Set it up, or leave it out.")


def may_end_run(pilot: Pilot, outcome: RunOutcome, now: datetime) -> None:
    """Raise unless the run may end like this: on the agreed date, by success declared before, or as no site runs it.

    Source: SD 4.1.3, 10: "upon success or expiration of the timeline previously agreed".
    """
    _must_be_open(pilot)
    if outcome is RunOutcome.SUCCESS:
        may_run(pilot)
        if not pilot.serving:
            raise NotYetAllowedError(pilot.name, "no site runs it.", f"Look at: pps pilot journal {pilot.name}")
    elif (come := pilot.outcome_now(now)) is not outcome:
        why = f"the run has not ended as {outcome.value!r}; {f'it is {come.value!r}' if come else 'it goes on'}."
        raise NotYetAllowedError(pilot.name, why, f"Look at: pps pilot journal {pilot.name}")


def may_report(pilot: Pilot, site: str) -> None:
    """Raise unless the run is over, for all or for this site, which had the service (SD 4.1.3, 8 before 9)."""
    if site not in pilot.served:
        raise NotYetAllowedError(f"{pilot.name} at {site}", "no pilot service was set up there.", "Nothing to do.")
    if pilot.run_ended is None and pilot.rolled_back(site) is None and not pilot.record.is_over:
        raise NotYetAllowedError(pilot.name, "its run has not ended.", "The report comes after it.")


def may_wrap_up(pilot: Pilot) -> None:
    """Raise unless the run has ended, and no post-mortem report is awaited any more (SD 4.1.3, 9 before 10).

    A site whose time for its report is up is not waited for: the meeting hears that it wrote none.
    """
    _must_be_open(pilot)
    pilot.record.need(FactKind.RUN_ENDED, "Wait for the end of the run.")
    awaited = [s for s in pilot.missing_reports if not questions.has_expired(pilot.record, REPORT, s)]
    if awaited:
        raise NotYetAllowedError(pilot.name, f"no report from {', '.join(awaited)} yet.", "Wait for it.")


def may_be_prolonged(pilot: Pilot) -> None:
    """Raise unless the wrap-up has decided that another round follows, and this one is closed."""
    decided = pilot.record.need(FactKind.WRAPPED_UP, "Hold the wrap-up meeting, and enter its decision.")
    if decided.payload["decision"] != PROLONG:
        raise NotYetAllowedError(pilot.name, f"the decision was {decided.payload['decision']}.", "Ask for a new pilot.")
    if not pilot.record.is_closed:
        raise NotYetAllowedError(pilot.name, "this round is still open.", "Close it first.")


def _must_be_open(pilot: Pilot) -> None:
    if pilot.record.is_closed:
        raise NotYetAllowedError(pilot.name, "it has ended.", "Look at: pps pilot show.")


def reasons_against_acting(site: Site, mine: Collection[str]) -> tuple[str, ...]:
    """Say why somebody may not speak for a site's pilot service; no reasons means that they may.

    Source: SD 4.1.3, 8: "Changes in the system however should only be applied by the Gold Site manager"; the
    coordination follows the pilot up.

    Args:
        mine: all names under which this person is known (`roles.identities`).
    """
    return reasons_against_speaking_for_site(site.name, site.administrators, "speak for its pilot service", mine)
