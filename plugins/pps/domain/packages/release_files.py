"""What an APT repository's Release file must say of itself: its date, until when it holds, which suite it is of.

Source: what APT 2.6 checks (apt-secure(8); apt.conf(5), Acquire::Check-Date, Check-Valid-Until, Max-FutureTime). About
another suite APT only warns; here it is refused, or the signed file of another suite could pass for ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from string import ascii_letters

#: How far clocks may differ: apt.conf(5), Acquire::Max-FutureTime.
FUTURE = timedelta(seconds=10)
#: The same for YUM, whose times are those of files; no YUM client looks at them.
YUM_FUTURE = timedelta(hours=1)
#: Names of the one time zone that APT knows; another name would be read as UTC, up to half a day wrong.
_ZONES = ("UTC", "GMT", "UT", "Z")


def reasons_against_release(fields: Mapping[str, str], suite: str, now: datetime, *, signed: bool) -> tuple[str, ...]:
    """Say why a Release file may not be used now for this suite; no reasons means that it may.

    Args:
        fields: of the file, by lower-case name.
        suite: as the patch names it; one that ends with `/` is a flat repository and has no name.
        signed: then it must say which suite it is of, since its key may sign several.
    """
    reasons = []
    dates: dict[str, datetime | None] = {}
    for name in ("Date", "Valid-Until"):
        if text := fields.get(name.lower(), ""):
            dates[name] = _moment(text)
            if dates[name] is None:
                reasons.append(f"Its {name} is no date ({text[:60]!r}).")
    if (date := dates.get("Date")) and date > now + FUTURE:
        reasons.append(
            f"It is dated {date:%Y-%m-%d %H:%M} UTC, which is in the future; a clock is wrong, or it is forged."
        )
    if (until := dates.get("Valid-Until")) and until < now:
        reasons.append(
            f"It was valid until {until:%Y-%m-%d %H:%M} UTC; the provider has not renewed it, or this is an old copy."
        )
    if not suite.endswith("/"):
        says = [fields.get("suite", ""), fields.get("codename", "")]
        named = [name for name in dict.fromkeys(says) if name]
        wanted = {suite, suite.rpartition("/")[0]} - {""}  # `buster/updates` is of `buster`, as APT reads it
        if named and wanted.isdisjoint(named):
            reasons.append(f"It is of the suite {' or '.join(n[:60] for n in named)}, not of {suite}.")
        elif not named and signed:
            reasons.append("It names neither Suite nor Codename, so its signature may be for another suite.")
    return tuple(reasons)


def _moment(text: str) -> datetime | None:
    zone = text[len(text.rstrip(ascii_letters)) :]
    if zone and zone.upper() not in _ZONES:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
