"""What sites wish of us (ADR 30): their people say it, everybody who writes at a site asks it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pps.activities.desk import Desk, Office
from pps.activities.ports.people import Mail
from pps.activities.ports.record import Facts
from pps.domain.base.errors import RefusedError
from pps.domain.base.names import is_name
from pps.domain.base.texts import as_sentence, reasons_against_reason
from pps.domain.people.roles import reasons_against_speaking_for_site
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.record.wishes import RECORD, wishes_in
from pps.domain.sites.site import Site
from pps.domain.sites.wishes import AllWishes, Window, Windows, Wishes, reasons_against_window, window_of

MOST_PINS, MOST_WINDOWS = 50, 14
"""at one site; every plan reads them"""


def all_wishes(facts: Facts, at: datetime) -> AllWishes:
    """What every site wishes, as it counts at this moment."""
    return wishes_in(facts.standing([RECORD])[RECORD], at)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks for a site."""

    user: str
    mine: Collection[str]
    """all names under which they are known (`domain.people.roles.identities`)"""


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that may be said for a site, checked, and not on record yet."""

    site: Site
    kind: FactKind
    says: Mapping[str, Any]
    stands: Callable[[Wishes], bool]
    """whether a site's wishes have it already"""


def window(site: Site, days: Collection[str], begins: str, ends: str, by: Speaker, *, beside: bool = False) -> Wish:
    """Days and hours in which we may write there; `RefusedError` for what is none.

    Args:
        beside: others that stand remain; else it is the only one from now on.
    """
    wanted, says = _window(site, days, begins, ends, by)
    only = Windows.of([wanted])
    stands = (lambda wishes: wanted in _windows(wishes)) if beside else (lambda wishes: wishes.windows == only)
    return Wish(site, FactKind.SITE_WINDOW_SET, {**says, "beside": beside}, stands)


def less_window(site: Site, days: Collection[str], begins: str, ends: str, by: Speaker) -> Wish:
    """One window is lifted, and others remain; without any, we may write there at any time."""
    lifted, says = _window(site, days, begins, ends, by)
    return Wish(site, FactKind.SITE_WINDOW_LIFTED, says, lambda wishes: lifted not in _windows(wishes))


def _window(site: Site, days: Collection[str], begins: str, ends: str, by: Speaker) -> tuple[Window, Mapping[str, Any]]:
    _check(site, by, reasons_against_window(days, begins, ends))
    meant = window_of(days, begins, ends)
    return meant, {"days": list(meant.days), "begins": begins, "ends": ends}


def _windows(wishes: Wishes) -> tuple[Window, ...]:
    return wishes.windows.each if wishes.windows else ()


def no_window(site: Site, by: Speaker) -> Wish:
    """We may write there at any time again."""
    _check(site, by)
    says = {"days": [], "begins": "", "ends": ""}
    return Wish(site, FactKind.SITE_WINDOW_SET, says, lambda wishes: wishes.windows is None)


def pin(site: Site, metapackage: str, version: str, reason: str, by: Speaker) -> Wish:
    """A version that the site does not want; "": none of this metapackage."""
    _check(site, by, (*_reasons_against_software(metapackage, version), *reasons_against_reason(reason)))
    says = {"metapackage": metapackage, "version": version, "reason": as_sentence(reason)}
    return Wish(
        site,
        FactKind.SITE_VERSION_PINNED,
        says,
        lambda wishes: any(says == {key: getattr(p, key) for key in says} for p in wishes.pins),
    )


def no_pin(site: Site, metapackage: str, version: str, by: Speaker) -> Wish:
    """The site takes that version again."""
    _check(site, by, _reasons_against_software(metapackage, version))

    def stands(wishes: Wishes) -> bool:
        return not any((p.metapackage.lower(), p.version) == (metapackage.lower(), version) for p in wishes.pins)

    return Wish(site, FactKind.SITE_PIN_LIFTED, {"metapackage": metapackage, "version": version}, stands)


def opt_out(site: Site, reason: str, by: Speaker) -> Wish:
    """The site takes no previews, until it says that it does. What lies there is left."""
    _check(site, by, reasons_against_reason(reason))
    said = as_sentence(reason)
    stands = lambda wishes: wishes.opt_out is not None and wishes.opt_out.reason == said  # noqa: E731
    return Wish(site, FactKind.SITE_OPTED_OUT, {"reason": said}, stands)


def opt_in(site: Site, by: Speaker) -> Wish:
    """The site takes previews again."""
    _check(site, by)
    return Wish(site, FactKind.SITE_OPTED_IN, {}, lambda wishes: wishes.opt_out is None)


def say(office: Office, wish: Wish, user: str, *, in_charge: Sequence[str] = ()) -> Fact:
    """Put a wish on record, once; of what stands already, the fact that has said it is returned.

    Args:
        in_charge: addresses of those who are told when the site leaves, and when it comes back.

    Raises:
        RefusedError: as `must_make_sense`.
    """
    opening = {"path": RolloutPath.SITES.value, "patch": 0}
    opened = Fact(RECORD, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, opening)
    office.facts.open(RolloutPath.SITES, 0, opened, RECORD)
    desk = office.desk(RECORD).by(office.actor, office.now)
    while True:
        if before := must_make_sense(desk.rollout, wish, office.now):
            return before
        number = 1 + sum(f.subject == wish.site.name for f in desk.rollout.facts)
        said = desk.fact(wish.kind, wish.site.name, str(number), {**wish.says, "user": user})
        if desk.record(said, mails=_mails(desk, said, in_charge)):
            return said
        # somebody else has said something for this site in this instant, which is on the desk now


def _mails(desk: Desk, said: Fact, in_charge: Sequence[str]) -> list[Mail]:
    if said.kind not in (FactKind.SITE_OPTED_OUT, FactKind.SITE_OPTED_IN):
        return []
    out = said.kind is FactKind.SITE_OPTED_OUT
    view = {
        "rollout": "",
        "site": said.subject,
        "out": out,
        "reason": said.payload.get("reason", ""),
        "user": said.payload["user"],
        "at": said.at,
    }
    subject = f"{said.subject} takes {'no previews any more' if out else 'previews again'}"
    return desk.circular("site_opted", view, key=said, to=in_charge, subject=subject)


def must_make_sense(record: Rollout, wish: Wish, at: datetime) -> Fact | None:
    """Return the fact that has said it, if it stands already; has no effect.

    Raises:
        RefusedError: there is nothing to lift, or the site has as many pins or windows as it can have.
    """
    now = wishes_in(record, at).of(wish.site.name)
    if wish.stands(now):
        mine = (f for f in reversed(record.facts) if f.subject == wish.site.name and f.kind is wish.kind)
        says = {key: what for key, what in wish.says.items() if key != "beside"}
        before = next((f for f in mine if says.items() <= f.payload.items()), None)
        if before is None:
            raise _refused(wish.site, ("There is nothing to lift: nothing like it stands.",))
        return before
    if wish.says.get("beside") and len(_windows(now)) >= MOST_WINDOWS:
        raise _refused(wish.site, (f"It has {MOST_WINDOWS} windows already: lift one first, or set the only one.",))
    if wish.kind is FactKind.SITE_VERSION_PINNED and len(now.pins) >= MOST_PINS:
        raise _refused(wish.site, (f"It has {MOST_PINS} pins already: lift one first, or opt out of previews.",))
    return None


def _check(site: Site, by: Speaker, reasons: tuple[str, ...] = ()) -> None:
    against = reasons_against_speaking_for_site(site.name, site.administrators, "say what it wishes", by.mine)
    if against or reasons:
        raise _refused(site, against or reasons)


def _refused(site: Site, reasons: tuple[str, ...]) -> RefusedError:
    return RefusedError(f"wish of {site.name}", reasons, "Nothing was changed.")


def _reasons_against_software(metapackage: str, version: str) -> tuple[str, ...]:
    reasons = [] if is_name(metapackage) else [f"{metapackage[:60]!r} is no metapackage's name, e.g. glite-WN."]
    if version and not is_name(version):
        reasons.append(f"{version[:60]!r} is no version, e.g. 3.1.24.")
    return tuple(reasons)
