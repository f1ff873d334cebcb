"""Following: who wants to hear of a patch, of a product, or of a site, and what there is to hear.

One record for all; a user's own facts in it are about that user alone. It is nobody else's business: no page, and no
part of the API, shows it to others (docs/adr/0031).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pps.domain.base.texts import for_the_public, one_line
from pps.domain.people.users import users_in
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout

#: Of one user; a feed and mails of more are read by nobody.
MOST = 100


class Kind(StrEnum):
    """What can be followed. Stored for ever: never rename."""

    PATCH = "patch"
    PRODUCT = "product"
    """a metapackage, in all its versions"""
    SITE = "site"


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """One thing that is followed."""

    kind: Kind
    name: str
    """number of the patch, name of the metapackage, or of the site"""

    @property
    def key(self) -> str:
        """As facts name it, e.g. `patch:4711`."""
        return f"{self.kind}:{self.name}"

    @classmethod
    def read(cls, key: str) -> Thing:
        """From its key; `ValueError` for what is none."""
        kind, _, name = key.partition(":")
        return cls(Kind(kind), name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Follower:
    """What one user follows."""

    user: str
    to: str
    """mail address of the account, when its owner last said so; "" where it had none: then there is the feed only"""
    since: Mapping[Thing, datetime]
    feed: int
    """how often the feed's address has been changed"""


def followers(facts: Iterable[Fact]) -> Mapping[str, Follower]:
    """User -> what they follow, as the facts of the record have it; whoever has ended all is still among them."""
    found: dict[str, Follower] = {}
    for fact in facts:
        mine = found.get(fact.subject, Follower(fact.subject, "", {}, 0))
        if fact.kind is FactKind.FOLLOWED:
            thing = Thing.read(fact.payload["what"])
            mine = Follower(mine.user, fact.payload["to"], {**mine.since, thing: fact.at}, mine.feed)
        elif fact.kind is FactKind.UNFOLLOWED:
            ended = Thing.read(fact.payload["what"])
            mine = Follower(mine.user, mine.to, {t: at for t, at in mine.since.items() if t != ended}, mine.feed)
        elif fact.kind is FactKind.FOLLOWER_MOVED:
            mine = Follower(mine.user, fact.payload["to"], mine.since, mine.feed)
        elif fact.kind is FactKind.FEED_RENEWED:
            mine = Follower(mine.user, mine.to, mine.since, mine.feed + 1)
        else:
            continue
        found[fact.subject] = mine
    return found


#: Facts of rollouts that followers hear of -> a word for it, unique within a rollout (with the site, where it has one).
_WORDS = {
    FactKind.ROLLOUT_OPENED: "opened",
    FactKind.TAG_SEEN: "available",
    FactKind.FEEDBACK_DATE_AGREED: "feedback",
    FactKind.ROLLOUT_STOPPED: "stopped",
    FactKind.WITHDRAWAL_ASKED: "withdrawn",
    FactKind.RELEASE_REFUSED: "not released",
    FactKind.RELEASED_TO_PRODUCTION: "released",
    FactKind.FEEDBACK_DATE_MOVED: "extended",
}
NEWS_KINDS = tuple(_WORDS)


@dataclass(frozen=True, slots=True)
class News:
    """One thing to hear of."""

    rollout: str
    word: str
    """tells it from the others of its rollout, for ever"""
    at: datetime
    patch: int
    software: str
    sentence: str
    """for anybody: it names no person"""
    things: tuple[Thing, ...]
    """whoever follows one of these hears of it"""


def news_of(record: Rollout) -> tuple[News, ...]:
    """What there is to hear of a rollout, oldest first: of previews, and of what was released in another way.

    At a site it becomes available once: that it was lost for a night, and came back, is no news.
    """
    opened = record.opened
    patch, product = int(opened["patch"]), str(opened.get("metapackage", ""))
    software = one_line(f"{product} {opened.get('version', '')}") or f"patch {patch}"
    of_patch = (Thing(Kind.PATCH, str(patch)), *((Thing(Kind.PRODUCT, product),) if product else ()))
    names = users_in(record)
    found: dict[str, News] = {}
    for fact in record.facts:
        if fact.kind not in _WORDS or (
            record.path not in PREVIEWS and fact.kind is not FactKind.RELEASED_TO_PRODUCTION
        ):
            continue
        at_site = fact.kind is FactKind.TAG_SEEN
        word = f"{_WORDS[fact.kind]} {fact.subject}".strip() if at_site else _WORDS[fact.kind]
        if fact.kind is FactKind.FEEDBACK_DATE_MOVED:
            word = f"{word} {fact.occasion}".strip()
        things = (Thing(Kind.SITE, fact.subject),) if at_site else of_patch
        sentence = for_the_public(_sentence(fact, software, patch), names)
        found.setdefault(word, News(record.name, word, fact.at, patch, software, sentence, things))
    return tuple(found.values())


def _sentence(fact: Fact, software: str, patch: int) -> str:
    match fact.kind:
        case FactKind.ROLLOUT_OPENED:
            return f"A preview of {software} (patch {patch}) begins."
        case FactKind.TAG_SEEN:
            return f"{software} (patch {patch}) is available at {fact.subject}."
        case FactKind.FEEDBACK_DATE_AGREED:
            until = datetime.fromisoformat(fact.payload["due"])
            return f"Feedback on {software} (patch {patch}) is asked for until {until:%Y-%m-%d %H:%M} UTC."
        case FactKind.FEEDBACK_DATE_MOVED:
            until = datetime.fromisoformat(fact.payload["due"])
            return f"Feedback on {software} (patch {patch}) is asked for longer, until {until:%Y-%m-%d %H:%M} UTC."
        case FactKind.RELEASED_TO_PRODUCTION:
            return f"{software} (patch {patch}) is in production."
    done = {
        FactKind.ROLLOUT_STOPPED: "was stopped",
        FactKind.WITHDRAWAL_ASKED: "is withdrawn",
        FactKind.RELEASE_REFUSED: "has ended, and was not released",
    }[fact.kind]
    said = fact.payload.get("reason") or " ".join(map(str, fact.payload.get("reasons", ())))
    because = one_line(str(said), 300)
    return f"The preview of {software} (patch {patch}) {done}{f': {because}' if because else '.'}"


def heard_by(follower: Follower, news: News) -> bool:
    """Tell whether it is about what they follow, and came after they began to."""
    return any(thing in follower.since and news.at >= follower.since[thing] for thing in news.things)
