"""All that people have signed, and which of it a site's kit is sent for what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pps.activities.ports.record import Facts
from pps.activities.trust.kit_shell import Papers
from pps.activities.trust.statements import all_offered, whats
from pps.domain.record.facts import FactKind
from pps.domain.record.statements import Offered, in_force
from pps.domain.sites.site import Platform
from pps.domain.trust.keys import Current, Root, current_of
from pps.domain.trust.signed import Signed, envelope
from pps.domain.trust.statement import Action, Statement


@dataclass(frozen=True)
class SignedPapers:
    """`kit_shell.Papers`, of one scheme of signatures."""

    keys: Sequence[Signed]
    """lists of keys after the first, in their order: a site that was asleep is sent them all"""
    current: Signed
    """what is in force"""
    statements: Sequence[Signed]
    """with enough signatures, in their order"""

    @cached_property
    def _newest(self) -> Mapping[str, tuple[Statement, Signed]]:
        """product@platform -> its newest statement."""
        read = ((Statement.parse(signed.document), signed) for signed in self.statements)
        return {statement.what: (statement, signed) for statement, signed in read}

    @cached_property
    def _names(self) -> Mapping[str, str]:
        """Every preview and every tag -> its product@platform."""
        read = [Statement.parse(signed.document) for signed in self.statements]
        return {name: statement.what for statement in read for name in (statement.preview, statement.tag)}

    def to_install(self, preview: str) -> str | None:
        """See `kit_shell.Papers`: an older statement than the newest is none, a site would refuse it."""
        return self._sent(preview, Action.INSTALL)

    def to_remove(self, preview: str) -> str | None:
        """See `kit_shell.Papers`."""
        return self._sent(preview, Action.REMOVE)

    def _sent(self, preview: str, action: Action) -> str | None:
        found = self._newest.get(self._names.get(preview, ""))
        if found is None or (found[0].preview, found[0].action) != (preview, action):
            return None
        return envelope([*self.keys, self.current, found[1]])

    def what_is(self, preview: str) -> str | None:
        """See `kit_shell.Papers`."""
        return self._names.get(preview)

    def what_has(self, tag: str) -> str | None:
        """See `kit_shell.Papers`."""
        return self._names.get(tag)


class PapersOnRecord:
    """What is signed by what the record says, for sites of one scheme; as it was when it was first asked for."""

    def __init__(
        self,
        facts: Facts,
        keys: Callable[[], Sequence[Signed]],
        sign_current: Callable[[Current, Root], Signed],
        clock: Callable[[], datetime],
    ) -> None:
        """Of a scheme with these lists of keys, in their order; the last is in force. Read when first needed."""
        self._facts = facts
        self._read_keys = keys
        self._sign_current = sign_current
        self._clock = clock

    @cached_property
    def _keys(self) -> Sequence[Signed]:
        return self._read_keys()

    @cached_property
    def _root(self) -> Root:
        return Root.parse(self._keys[-1].document)

    @cached_property
    def in_force(self) -> Mapping[str, Offered]:
        """product@platform -> its newest statement with enough signatures."""
        found = ((what, in_force(all_offered(self._facts, what), self._root)) for what in whats(self._facts))
        return {what: it for what, it in found if it is not None}

    @cached_property
    def _current(self) -> Signed:
        """Signed now: sites hear that we are there, and what is in force."""
        newest = [it.statement for it in self.in_force.values()]
        return self._sign_current(current_of(newest, self._root.number, self._clock()), self._root)

    def at(self, platform: Platform) -> Papers:
        """For sites of a platform."""
        return _OnPlatform(self, platform)

    def sent(self, what: str | None, preview: str, action: Action) -> str | None:
        """The envelope with what a site must see to do this."""
        found = self.in_force.get(what or "")
        if found is None or (found.statement.preview, found.statement.action) != (preview, action):
            return None
        return self.envelope_of(what)

    def envelope_of(self, what: str | None) -> str:
        """Keys, what is current, and the statement in force of this product and platform; without one for None."""
        statement = [self.in_force[what].signed(self._root)] if what else []
        # a site may be asleep for several lists of keys; the first one it has from its kit
        return envelope([*self._keys[1:], self._current, *statement])

    def what(self, key: str, name: str, platform: Platform) -> str | None:
        """The product at this platform whose statements have named this preview or tag."""
        named = self._facts.with_payload(FactKind.STATEMENT_OFFERED, key, [name])
        return next((fact.subject for fact in named if fact.subject.endswith(f"@{platform}")), None)


@dataclass(frozen=True)
class _OnPlatform:
    """`kit_shell.Papers`."""

    papers: PapersOnRecord
    platform: Platform

    def to_install(self, preview: str) -> str | None:
        return self.papers.sent(self.what_is(preview), preview, Action.INSTALL)

    def to_remove(self, preview: str) -> str | None:
        return self.papers.sent(self.what_is(preview), preview, Action.REMOVE)

    def what_is(self, preview: str) -> str | None:
        return self.papers.what("preview", preview, self.platform)

    def what_has(self, tag: str) -> str | None:
        return self.papers.what("tag", tag, self.platform)
