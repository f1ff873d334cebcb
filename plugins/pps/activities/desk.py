"""Where activities work: at a desk with one rollout's record on it.

An activity takes the desk, and beside it names whatever else it touches: sites, a store of artefacts, a tracker.
So what is on record, by whom and when, has one way in; and its signature tells what an activity does to the world.

```python
def agree_feedback_date(desk: Desk, due: datetime) -> datetime:
    desk.record(desk.fact(FactKind.FEEDBACK_DATE_AGREED, payload={"due": due.isoformat()}))
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from pps.activities.ports.people import Mail, Templates
from pps.activities.ports.record import Facts
from pps.domain.base.texts import one_line
from pps.domain.packages.patch import Patch
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

D = TypeVar("D", bound="Desk")


@dataclass(kw_only=True)
class Office:
    """The record of all rollouts, the words of our mails, the time, and who acts; desks are opened here."""

    facts: Facts
    templates: Templates
    clock: Callable[[], datetime]
    """for work that takes long"""
    now: datetime
    """when it was opened: what is compared or recorded twice has the same time"""
    actor: str
    """who is behind what is recorded: `user carla`, `airflow:<DAG>`, `pps:service probe`"""
    patch_of: Callable[[int], Patch]
    """asks the tracker"""
    by_all_channels: Callable[[Sequence[Mail]], Sequence[Mail]] = tuple
    """the same mails, with what goes to the same people by other channels (`people.outbox.with_copies`)"""

    def desk(self, rollout: str | Rollout) -> Desk:
        """Open a desk for a rollout, by its name or its record; no facts: `NotYetAllowedError`."""
        return self._opened(Desk, rollout)

    def _opened(self, kind: type[D], rollout: str | Rollout) -> D:
        """With the time as it is now: an office may have been at work for hours."""
        record = self.facts.rollout(rollout) if isinstance(rollout, str) else rollout
        mine = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return kind(**mine | {"now": self.clock(), "rollout": record})

    def letter(
        self,
        template: str,
        view: Mapping[str, Any],
        *,
        key: str | Fact,
        to: str,
        subject: str,
        attachments: tuple[tuple[str, str, str], ...] = (),
    ) -> Mail:
        """One mail to one recipient.

        Args:
            template: in include/templates, without its ending.
            key: sees to it that the mail goes out once; if it is a fact, once for that fact.
        """
        text, html = self.templates.render(f"{template}.txt", view), self.templates.render(f"{template}.html", view)
        return Mail(
            key_of(key) if isinstance(key, Fact) else key,
            to,
            one_line(subject),
            text,
            html,
            attachments,
            link=str(view.get("link", "")),
        )

    def circular(
        self, template: str, view: Mapping[str, Any], *, key: str | Fact, to: Iterable[str], subject: str
    ) -> list[Mail]:
        """The same words to several, one mail each: nobody reads others' addresses, and those named twice get one.

        Args:
            key: of all; each mail's own is `<key>/<address>`.
        """
        base = key_of(key) if isinstance(key, Fact) else key
        return [
            self.letter(template, view, key=f"{base}/{address}", to=address, subject=subject)
            for address in dict.fromkeys(to)
        ]


@dataclass(kw_only=True)
class Desk(Office):
    """One rollout's record, as it was when the desk was opened, with what has been recorded here since."""

    rollout: Rollout
    _patch: Patch | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """The rollout's."""
        return self.rollout.name

    @property
    def patch(self) -> Patch:
        """The rollout's patch as the tracker has it; asked when it is first wanted, and again after `look_again`."""
        if self._patch is None:
            self._patch = self.patch_of(self.rollout.patch_number)
        return self._patch

    def by(self, actor: str, at: datetime | None = None) -> Desk:
        """The same desk for somebody else, e.g. for whoever has answered, at the time of the answer."""
        return replace(self, actor=actor, now=at or self.now)

    def later(self) -> Desk:
        """The same desk, with the time as it is by now."""
        return replace(self, now=self.clock())

    def fact(
        self, kind: FactKind, subject: str = "", occasion: str = "", payload: Mapping[str, Any] | None = None
    ) -> Fact:
        """A fact of this rollout, with the desk's time and actor; not recorded yet."""
        return Fact(self.name, kind, subject, occasion, self.now, self.actor, payload or {})

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """Record facts and queue mails in one transaction; return the facts that were new. They are on the desk, too.

        Where one was on record already it is read again: somebody else may have been first.
        """
        new = self.facts.record(*facts, mails=self.by_all_channels(mails))
        if len(new) < len(facts):
            self.look_again()
        elif new:
            here = tuple(fact for fact in new if fact.rollout == self.name)
            self.rollout = Rollout(self.name, (*self.rollout.facts, *here))
        return new

    def close(self, closing: Fact) -> None:
        """Record the closing fact, and free the patch for another rollout."""
        self.facts.close(closing)
        self.look_again()

    def look_again(self) -> Rollout:
        """Read the record anew: what others have recorded meanwhile."""
        self.rollout, self._patch = self.facts.rollout(self.name), None
        return self.rollout

    def next_occasion(self, kind: FactKind, subject: str = "", base: str = "") -> str:
        """The occasion for another fact of this kind about this subject: `base`, `base.2`, `base.3`, ...

        Without a base: "", "2", "3", ...
        """
        mine = [f.occasion for f in self.rollout.facts if f.kind is kind and f.subject == subject]
        if not base:
            return str(len(mine) + 1) if mine else ""
        same = [occasion for occasion in mine if occasion == base or occasion.startswith(f"{base}.")]
        return f"{base}.{len(same) + 1}" if same else base


def key_of(fact: Fact) -> str:
    """The key of a mail that goes out once for a fact."""
    return "/".join(part for part in (fact.rollout, fact.kind.value, fact.subject, fact.occasion) if part)
