"""What a provider's desk shows: one release with its looks, findings and waivers; for pages, API and CLI alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from pps.config.loader import Configuration
from pps.domain.packages.findings import Finding, Waiver, Weight
from pps.domain.people.providers import Provider, reasons_against_looking, reasons_against_submitting
from pps.domain.people.roles import Role
from pps.domain.record.submissions import Look, LookState, Submitted
from pps.web.forms import Person

_LATE = "It did not come to an end in time."


def own_providers(config: Configuration, person: Person) -> tuple[Provider, ...]:
    """The providers that somebody speaks for."""
    return tuple(p for p in config.providers if p.is_spoken_for_by(person.identities))


def may_see(config: Configuration, person: Person, product: str) -> bool:
    """Tell whether somebody sees the releases of a product: its provider's people, and those in charge."""
    return not reasons_against_looking(product, config.providers, person.identities)


def may_waive(config: Configuration, person: Person, product: str) -> bool:
    """Tell whether somebody sees the button; the activity asks the rule again."""
    own = not reasons_against_submitting(product, config.providers, person.identities)
    return person.holds(Role.RELEASE_MANAGER) and not own


def release_view(release: Submitted, now: datetime, within: timedelta) -> dict[str, Any]:
    """A release as it stands, with its history, newest look first; keys may be added."""
    newest = look_view(release, release.newest, now, within)
    return {
        "format": 1,
        "release": release.key,
        "product": release.product,
        "version": release.version,
        "provider": release.provider,
        "patch": release.patch,
        **{key: newest[key] for key in ("look", "state", "sentence", "findings", "more", "open_faults")},
        "document": dict(release.newest.document),
        "looks": [look_view(release, look, now, within) for look in reversed(release.looks)],
    }


def look_view(release: Submitted, look: Look, now: datetime, within: timedelta) -> dict[str, Any]:
    """One look."""
    state = release.state(now, within, look)
    faults = release.open_faults(look)
    return {
        "look": look.number,
        "state": state.value,
        "sentence": _sentence(release, look, state, len(faults)),
        "submit": look.is_submission,
        "by": str(look.offered.payload["user"]),
        "sent_at": look.offered.at,
        "ended_at": look.ended.at if look.ended else None,
        "open_faults": len(faults),
        "findings": [finding_view(f, release.waivers) for f in look.findings],
        "more": look.more,
    }


def finding_view(finding: Finding, waivers: Mapping[str, Waiver]) -> dict[str, Any]:
    """A finding, and who has waived it."""
    waiver = waivers.get(finding.key) if finding.may_be_waived else None
    return {
        "key": finding.key,
        "code": finding.code,
        "weight": finding.weight.value,
        "about": finding.about,
        "sentence": finding.sentence,
        "remedy": finding.remedy,
        "may_be_waived": finding.may_be_waived and finding.weight is Weight.FAULT and waiver is None,
        "waived": {"role": waiver.role, "user": waiver.user, "reason": waiver.reason, "at": waiver.at}
        if waiver
        else None,
    }


def _sentence(release: Submitted, look: Look, state: LookState, faults: int) -> str:
    open_ones = f"{faults} open fault{'s' if faults != 1 else ''}"
    words = {
        LookState.LOOKING: f"It is being looked at since {look.offered.at:%Y-%m-%d %H:%M} UTC.",
        LookState.BROKEN_OFF: f"The look broke off, so nothing is known. {look.failed or _LATE} Send it again.",
        LookState.CHECKED: (
            f"Only looked at: {open_ones}. It would be refused like this."
            if faults
            else "Only looked at: no open fault. It can be submitted."
        ),
        LookState.REFUSED: (
            f"The tracker does not take it: {look.not_taken}"
            if look.not_taken
            else f"Refused: {open_ones}. Correct what is wrong, and submit it again."
            if faults
            else "Refused; what it was refused for has been waived since. Submit it again."
        ),
        LookState.ACCEPTED: (
            "Accepted. It is not in the tracker yet: it is entered now, or within an hour if that does not answer."
        ),
        LookState.ENTERED: f"Accepted. It is patch {release.patch} in the tracker.",
    }
    return words[state]


def seen_by(config: Configuration, person: Person, releases: Collection[Submitted]) -> list[Submitted]:
    """The releases that somebody may see, the one that was sent last first."""
    mine = [r for r in releases if may_see(config, person, r.product)]
    return sorted(mine, key=lambda r: r.newest.offered.at, reverse=True)
