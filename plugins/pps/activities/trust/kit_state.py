"""What a site's kit says of itself: keys in force, how fresh its news is, what it followed last."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pps.activities.ports.sites import KIT, SiteLimits, SiteShell, SshTarget
from pps.activities.sites.batch import in_turns
from pps.activities.sites.diagnosis import Finding, Health
from pps.activities.sites.login_errors import cleaned
from pps.activities.sites.script import run_script
from pps.domain.base.errors import RolloutError, SiteError
from pps.domain.sites.places import Places
from pps.domain.sites.site import Scheme, Site
from pps.domain.trust.keys import Root

_MOST_SKEW = timedelta(minutes=5)
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,199}"
_KIT = re.compile(r"PPS-KIT 1 (ssh|openssl) keys ([1-9]\d{0,8})")
_CURRENT = re.compile(r"PPS-CURRENT (?:none|(?:fresh|stale) \d{1,12} (\d{1,12}))")
_PRODUCT = re.compile(
    rf"PPS-PRODUCT ({_NAME}@{_NAME}) "
    rf"(?:none|(\d{{1,15}}) ([0-9a-f]{{64}}) (install|remove) ({_NAME}) ({_NAME}) (\d{{1,12}}) ?)"
)
_HAS = re.compile(rf"PPS-HAS ({_NAME}) ([0-9a-f]{{64}})")
_TAG = re.compile(r"PPS-TAG ([!-~]{1,256})")
_END = re.compile(r"PPS-STATE-END (\d{1,12})")


#: (product@platform, sequence) -> digest of the statement
Heads = Mapping[tuple[str, int], str]
_ON_OTHER_HEADS = (
    "Compare it with /pps/log.json and with the keys of both signers: if nobody lost this record, keys are stolen "
    "(docs/keys.md)."
)


@dataclass(frozen=True, slots=True)
class Followed:
    """The statement that a site followed last."""

    sequence: int
    head: str
    action: str
    preview: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class KitState:
    """A kit's answer to `state`."""

    scheme: str
    keys: int
    clock: datetime
    fresh_until: datetime | None
    """of what it knows to be in force; None if it has not been told yet"""
    followed: Mapping[str, Followed | None] = field(default_factory=dict)
    """product@platform that the site wants -> what it followed last"""
    holds: Mapping[str, str] = field(default_factory=dict)
    """preview -> digest of its MANIFEST"""
    tags: frozenset[str] = frozenset()
    """those of ours that it announces"""


async def ask_kit(target: SshTarget, shell: SiteShell, limits: SiteLimits) -> KitState:
    """Ask a site's kit how it is; raises what the channel raises, and `SiteError` for an answer that is none."""
    output = await run_script(shell, target, KIT, ("state",), limits)
    return read_state(target.site, output.lines)


def read_state(site: str, lines: Sequence[str]) -> KitState:
    """Read what a kit said; nothing in it is trusted."""
    kit = _KIT.fullmatch(lines[0]) if lines else None
    current = _CURRENT.fullmatch(lines[1]) if len(lines) > 1 else None
    end = _END.fullmatch(lines[-1]) if lines else None
    if kit is None or current is None or end is None:
        said = cleaned(lines[-1], 200) if lines else "nothing"
        raise SiteError(site, f"its kit gave no answer; it said {said!r}.", "Ask its root for: pps-kit-check")
    held = {match[1]: match[2] for match in filter(None, map(_HAS.fullmatch, lines))}
    tags = frozenset(match[1] for match in filter(None, map(_TAG.fullmatch, lines)))
    followed: dict[str, Followed | None] = {}
    try:
        for match in filter(None, map(_PRODUCT.fullmatch, lines)):
            what, sequence, head, action, preview, _, expires = match.groups()
            followed[what] = Followed(int(sequence), head, action, preview, _at(expires)) if sequence else None
        fresh = _at(current[1]) if current[1] else None
        return KitState(kit[1], int(kit[2]), _at(end[1]), fresh, followed, held, tags)
    except (ValueError, OverflowError) as error:
        raise SiteError(site, f"its kit names a time that there is not ({error}).", "Set its clock.") from error


async def diagnose_kits(
    sites: Iterable[tuple[Site, SshTarget]],
    shell: SiteShell,
    limits: SiteLimits,
    now: datetime,
    at_once: int,
    *,
    keys: Mapping[Scheme, Root],
    heads: Heads,
) -> tuple[Finding, ...]:
    """Ask the kits of many sites, `at_once` of them at the same time; findings come in the order given.

    Args:
        keys: those in force at the centre.
        heads: of the statements on record at the centre.
    """

    async def one(place: tuple[Site, SshTarget]) -> tuple[Finding, ...]:
        site, target = place
        try:
            state = await ask_kit(target, shell, limits)
        except RolloutError as error:
            step = error.next_step or f"Check for a downtime, then ask {site.contact}."
            return (Finding(site.name, Health.FAIL, error.why, step),)
        return findings_at(site, state, keys, now, heads)

    found = await in_turns(one, tuple(sites), Places(at_once))
    return tuple(finding for findings in found for finding in findings)


def findings_at(
    site: Site, state: KitState, keys: Mapping[Scheme, Root], now: datetime, heads: Heads
) -> tuple[Finding, ...]:
    """Judge what a site's kit has said, whichever way it came. See `diagnose_kits`."""
    if state.scheme != site.kit:
        why = f"its kit checks signatures with {state.scheme}; the registry says {site.kit}."
        return (Finding(site.name, Health.FAIL, why, "Correct `kit` in the site registry."),)
    return findings_of(site.name, state, keys[Scheme(state.scheme)].number, now, heads)


def findings_of(site: str, state: KitState, keys: int, now: datetime, heads: Heads) -> tuple[Finding, ...]:
    """Judge a kit's state for `pps doctor`.

    Args:
        keys: number of the keys in force at the centre.
        heads: of the statements on record at the centre.
    """
    found = [
        Finding(site, Health.FAIL, _other_head(what, it), _ON_OTHER_HEADS)
        for what, it in sorted(state.followed.items())
        if it and heads.get((what, it.sequence)) != it.head
    ]
    if state.keys != keys:
        why = f"its kit believes keys number {state.keys}; number {keys} are in force."
        found.append(Finding(site, Health.FAIL, why, "Send it those that it lacks; the nightly distribution does."))
    if state.fresh_until is None or state.fresh_until <= now:
        since = f" since {state.fresh_until:%Y-%m-%d %H:%M} UTC" if state.fresh_until else ""
        why = f"its kit has had no news{since}, and installs and announces nothing."
        found.append(Finding(site, Health.FAIL, why, "Send it a fresh list of what is in force (docs/kit.md)."))
    if abs(state.clock - now) > _MOST_SKEW:
        seconds = int((state.clock - now).total_seconds())
        why = (
            f"its clock is {abs(seconds)} s {'ahead' if seconds > 0 else 'behind'}: its kit takes nothing out of time."
        )
        found.append(Finding(site, Health.WARN, why, "Set its clock."))
    if found:
        return tuple(found)
    what = ", ".join(f"{name} {it.sequence if it else '-'}" for name, it in sorted(state.followed.items()))
    return (Finding(site, Health.OK, f"verifies itself what it installs, keys number {state.keys}: {what}."),)


def _other_head(what: str, it: Followed) -> str:
    return (
        f"its kit followed statement {it.sequence} of {what} ({it.preview}, sha256 {it.head[:12]}...), and that is not "
        "on record here: it was signed for somebody else."
    )


def _at(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
