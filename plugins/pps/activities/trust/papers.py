"""All that people have signed, and which of it a site's kit is sent for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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
