"""Statements for sites with a kit, as a view of the record that holds them: what was offered, and who has signed it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.domain.sites.site import Scheme
from pps.domain.trust.keys import Root, Signer, reasons_against_signatures
from pps.domain.trust.signed import Signature, Signed
from pps.domain.trust.statement import Statement

#: Name of the one record, which is never closed.
RECORD = RolloutPath.STATEMENTS.value


@dataclass(frozen=True, slots=True)
class SignatureOnRecord:
    """A signature that held when it was given, with the key as it was then."""

    scheme: Scheme
    by: Signer
    text: str


@dataclass(frozen=True, slots=True)
class Offered:
    """A statement that people were asked to sign."""

    statement: Statement
    rollout: str
    at: datetime
    signatures: tuple[SignatureOnRecord, ...] = ()

    def signed(self, root: Root) -> Signed:
        """The statement with those signatures that count under these keys now; of each signer the newest."""
        counting = {s.by.name: s for s in self._counting(root)}
        return Signed(self.statement.text, tuple(Signature(s.by.name, s.text) for s in counting.values()))

    def roles(self, root: Root) -> frozenset[str]:
        """As what somebody has signed it with keys that count now."""
        return frozenset(s.by.role for s in self._counting(root))

    def missing(self, root: Root) -> tuple[str, ...]:
        """Why these signatures are not enough for sites with these keys; nothing if they are."""
        return reasons_against_signatures([s.by for s in self._counting(root)])

    def _counting(self, root: Root) -> list[SignatureOnRecord]:
        # a key that was replaced or revoked since counts for nothing, at the sites as here
        return [
            s
            for s in self.signatures
            if s.scheme is root.scheme and s.by in root.signers and s.by.key not in root.revoked
        ]


def offered_in(facts: Iterable[Fact]) -> tuple[Offered, ...]:
    """The statements of one product and platform, in the order of their sequence."""
    found: dict[str, Offered] = {}
    signed: dict[str, list[SignatureOnRecord]] = {}
    for fact in facts:
        says = fact.payload
        if fact.kind is FactKind.STATEMENT_OFFERED:
            found[fact.occasion] = Offered(Statement.parse(says["document"]), says["rollout"], fact.at)
        elif fact.kind is FactKind.STATEMENT_SIGNED:
            by = Signer(says["signer"], says["role"], says["person"], says["key"])
            signature = SignatureOnRecord(Scheme(says["scheme"]), by, says["signature"])
            signed.setdefault(fact.occasion.partition("/")[0], []).append(signature)
    return tuple(
        Offered(it.statement, it.rollout, it.at, tuple(signed.get(sequence, ())))
        for sequence, it in sorted(found.items(), key=lambda item: item[1].statement.sequence)
    )


def in_force(offered: Sequence[Offered], root: Root) -> Offered | None:
    """The newest statement with enough signatures; None if there is none."""
    return next((it for it in reversed(offered) if not it.missing(root)), None)
