"""People follow a patch, a product or a site: what they follow is on record, and they hear of each piece of news once.

Links that need no signing in (the end of it, the feed) carry a keyed digest in the place of a name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from pps.activities.desk import Office
from pps.activities.packages.embargo import public_record
from pps.activities.people.tokens import keys_in
from pps.activities.ports.people import Mail
from pps.activities.ports.record import Facts
from pps.domain.base.errors import InvalidNameError, PatchNotFoundError, RefusedError
from pps.domain.base.names import checked_address
from pps.domain.people import following as rules
from pps.domain.people.following import Follower, Kind, News, Thing
from pps.domain.people.links import bulletin_link, end_link, patch_link
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import NO_ROLLOUTS, PREVIEWS, RolloutPath

#: Name of the record.
RECORD = RolloutPath.FOLLOWING.value
_KINDS = (FactKind.FOLLOWED, FactKind.UNFOLLOWED, FactKind.FOLLOWER_MOVED, FactKind.FEED_RENEWED)
#: What the mails have missed for longer is no news.
_FRESH = timedelta(days=7)
_FEED = timedelta(days=30)
_ENTRIES = 50
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def follower(facts: Facts, user: str) -> Follower:
    """What somebody follows."""
    return rules.followers(facts.facts_of_kind(_KINDS)).get(user, Follower(user, "", {}, 0))


def account_address(given: object) -> str:
    """The mail address of an account as we send to it; "" where there is none that we can send to."""
    with suppress(InvalidNameError):
        return checked_address(str(given or ""), "account")
    return ""


def follow(office: Office, user: str, to: str, thing: Thing, sites: Collection[str]) -> bool:
    """Follow one thing more; False if they do so already.

    Args:
        to: see `account_address`.
        sites: of the registry.

    Raises:
        RefusedError: nobody knows the thing, or they follow as much as anybody can.
    """
    mine = follower(office.facts, user)
    if thing in mine.since:
        return False
    if reasons := (*_reasons_against(office, thing, sites), *_too_many(mine)):
        raise RefusedError(f"following {thing.key[:80]}", reasons)
    _open(office)
    occasion = f"{thing.key}/{len(_times(office.facts, user, thing)) + 1}"
    return _record(office, FactKind.FOLLOWED, user, occasion, what=thing.key, to=to)


def end(office: Office, user: str, things: Collection[Thing]) -> tuple[Thing, ...]:
    """Follow these no longer; returns those that were followed until now."""
    mine = follower(office.facts, user)
    ended = []
    for thing in sorted(things):
        times = _times(office.facts, user, thing)
        if thing in mine.since and _record(office, FactKind.UNFOLLOWED, user, times[-1].occasion, what=thing.key):
            ended.append(thing)
    return tuple(ended)


def move(office: Office, user: str, to: str) -> bool:
    """From now on mails go to the address that the account has now."""
    mine = follower(office.facts, user)
    if mine.to == to or not mine.since:
        return False
    return _record(office, FactKind.FOLLOWER_MOVED, user, office.now.isoformat(), to=to)


def renew_feed(office: Office, user: str) -> bool:
    """Give the feed another address: whoever has the old one reads nothing any more."""
    _open(office)
    return _record(office, FactKind.FEED_RENEWED, user, str(follower(office.facts, user).feed + 1))


def _record(office: Office, kind: FactKind, user: str, occasion: str, **payload: str) -> bool:
    return bool(office.facts.record(Fact(RECORD, kind, user, occasion, office.now, office.actor, payload)))


def _open(office: Office) -> None:
    payload = {"path": RECORD, "patch": 0}
    opening = Fact(RECORD, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, payload)
    office.facts.open(RECORD, 0, opening, RECORD)


def _times(facts: Facts, user: str, thing: Thing) -> list[Fact]:
    begun = facts.facts_of_kind((FactKind.FOLLOWED,))
    return [fact for fact in begun if (fact.subject, fact.payload["what"]) == (user, thing.key)]


def _too_many(mine: Follower) -> tuple[str, ...]:
    return (f"You follow {rules.MOST} things; end something first.",) if len(mine.since) >= rules.MOST else ()


def products(facts: Facts) -> tuple[str, ...]:
    """The metapackages that have been rolled out."""
    opened = facts.facts_of_kind((FactKind.ROLLOUT_OPENED,))
    return tuple(sorted({str(f.payload["metapackage"]) for f in opened if f.payload.get("metapackage")}))


def _reasons_against(office: Office, thing: Thing, sites: Collection[str]) -> tuple[str, ...]:
    shown = repr(thing.name[:60])
    if thing.kind is Kind.SITE:
        known = ", ".join(sorted(sites)) or "none so far"
        return () if thing.name in sites else (f"site: {shown} is none of: {known}.",)
    if thing.kind is Kind.PRODUCT:
        there = products(office.facts)
        if thing.name in there:
            return ()
        return (f"product: {shown} is none of those that have been rolled out: {', '.join(there) or 'none so far'}.",)
    if not _NUMBER.fullmatch(thing.name):
        return (f"patch: {shown} is no number of a patch, e.g. 4711.",)
    try:
        if not office.facts.rollouts(patch=int(thing.name)):
            office.patch_of(int(thing.name))
    except PatchNotFoundError:
        return (f"patch: neither the tracker nor the record knows {thing.name}.",)
    return ()


# --- links


def _token(key: bytes, *parts: str) -> str:
    digest = hmac.digest(key, "\n".join(("pps-following", *parts)).encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def end_token(secret: bytes, user: str, thing: Thing) -> str:
    """The token with which this following ends, without signing in."""
    return _token(keys_in(secret)[0], "end", user, thing.key)


def feed_token(secret: bytes, mine: Follower) -> str:
    """The token of somebody's feed, until they change it."""
    return _token(keys_in(secret)[0], "feed", mine.user, str(mine.feed))


def _is(secret: bytes, token: str, *parts: str) -> bool:
    given = token.encode("utf-8", "replace")
    return any(hmac.compare_digest(_token(key, *parts).encode(), given) for key in keys_in(secret))


def whose_end(facts: Facts, secret: bytes, token: str) -> tuple[str, Thing] | None:
    """Whose following of what a token ends, also when it has ended since."""
    begun = dict.fromkeys((f.subject, str(f.payload["what"])) for f in facts.facts_of_kind((FactKind.FOLLOWED,)))
    found = [(user, Thing.read(key)) for user, key in begun if _is(secret, token, "end", user, key)]
    return found[0] if found else None


def whose_feed(facts: Facts, secret: bytes, token: str) -> Follower | None:
    """Whose feed it is."""
    everybody = rules.followers(facts.facts_of_kind(_KINDS)).values()
    return next((f for f in everybody if _is(secret, token, "feed", f.user, str(f.feed))), None)


# --- what there is to hear


def heard(office: Office, mine: Follower) -> Sequence[News]:
    """What somebody has heard, or could have, the newest first: for the feed."""
    found = [n for n in _news(office, office.now - _FEED, mine.since) if rules.heard_by(mine, n)]
    return sorted(found, key=lambda n: n.at, reverse=True)[:_ENTRIES]


def sources(office: Office, mine: Follower) -> set[str]:
    """The records that somebody's feed is made from."""
    return {RECORD, *_sources(office.facts, office.now - _FEED, mine.since)}


def _sources(facts: Facts, since: datetime, things: Iterable[Thing]) -> set[str]:
    """The rollouts that have news, or may have. Of what is seen at sites there are too many facts to read all of them:
    it is looked for where it can be new, and only if somebody follows a site."""
    few = [kind for kind in rules.NEWS_KINDS if kind is not FactKind.TAG_SEEN]
    found = {fact.rollout for fact in facts.facts_of_kind(few, since)} - {RECORD}
    if any(thing.kind is Kind.SITE for thing in things):
        found |= {row.name for row in facts.rollouts(paths=PREVIEWS, closed_after=since)}
    return found


def _news(office: Office, since: datetime, things: Iterable[Thing]) -> Iterator[News]:
    for record in office.facts.standing(_sources(office.facts, since, things)).values():
        if record.has(FactKind.ROLLOUT_OPENED) and record.path.value not in NO_ROLLOUTS:
            yield from (n for n in rules.news_of(record) if n.at >= since)


def tell_followers(office: Office, secret: Callable[[], bytes], public_url: str) -> int:
    """Write to everybody who follows something what is new of it; returns how many mails are new.

    A sweep: what was told is on record in the transaction of its mail, so it does not matter how often it is made. One
    mail about a rollout, whatever has happened to it since the last sweep.

    Args:
        secret: asked for if there is anybody to write to.
    """
    everybody = rules.followers(office.facts.facts_of_kind(_KINDS)).values()
    reached = [f for f in everybody if f.to and f.since]
    if not reached:
        return 0
    begun = min(at for f in reached for at in f.since.values())
    told = {(f.subject, f.occasion) for f in office.facts.rollout(RECORD).facts if f.kind is FactKind.TOLD}
    by_rollout: dict[str, list[News]] = {}
    things = {thing for f in reached for thing in f.since}
    open_to_all = replace(office, facts=public_record(office.facts, office.clock))
    for news in _news(open_to_all, max(begun, office.now - _FRESH), things):
        by_rollout.setdefault(news.rollout, []).append(news)
    new = 0
    for found in by_rollout.values():
        for mine in reached:
            fresh = [n for n in found if rules.heard_by(mine, n) and (mine.user, _told_as(n)) not in told]
            if fresh:
                facts = [
                    Fact(RECORD, FactKind.TOLD, mine.user, _told_as(n), office.now, office.actor, {}) for n in fresh
                ]
                office.facts.record(*facts, mails=[_mail(office, mine, fresh, secret(), public_url)])
                new += 1
    return new


def _told_as(news: News) -> str:
    return f"{news.rollout}/{news.word}"


def _mail(office: Office, mine: Follower, fresh: Sequence[News], secret: bytes, public_url: str) -> Mail:
    newest = fresh[-1]
    because = sorted({thing for n in fresh for thing in n.things if thing in mine.since})
    ends = [(str(thing), end_link(public_url, end_token(secret, mine.user, thing))) for thing in because]
    view = {
        "rollout": newest.rollout,
        "software": newest.software,
        "news": fresh,
        "ends": ends,
        "link": patch_link(public_url, newest.patch),
        "bulletin_link": bulletin_link(public_url),
    }
    words = "\n".join(n.word for n in fresh)
    key = f"{RECORD}/{mine.user}/{newest.rollout}/{hashlib.sha256(words.encode()).hexdigest()[:16]}"
    more = f" (and {len(fresh) - 1} more)" if len(fresh) > 1 else ""
    letter = office.letter("followed", view, key=key, to=mine.to, subject=f"{newest.sentence.rstrip('.')}{more}")
    return replace(letter, unsubscribe=ends[0][1])
