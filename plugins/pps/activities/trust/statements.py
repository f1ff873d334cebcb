"""Statements for sites with a kit: which are offered to be signed, and what people's signatures make of them.

They are on one record (`domain.record.statements`), since their sequences are of a product, not of a rollout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pps.activities.desk import Desk, Office
from pps.activities.ports.packages import Tarball
from pps.activities.ports.record import Facts
from pps.domain.base.errors import PackageError, RefusedError
from pps.domain.packages.manifest import Manifest
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.domain.record.statements import RECORD, Offered, offered_in
from pps.domain.sites.site import Platform, Scheme
from pps.domain.trust.keys import Root, Signer
from pps.domain.trust.signed import Signed, opened
from pps.domain.trust.statement import Action, Statement, statement_of, withdrawal_of

#: A signed document, and the keys in force -> whose signatures hold, and why others do not.
Check = Callable[[Signed, Root], tuple[Sequence[Signer], Sequence[str]]]
_SPARE = 1 << 16


def all_offered(facts: Facts, what: str) -> tuple[Offered, ...]:
    """All statements of `<product>@<platform>`, in their order; those of other products are not read."""
    return offered_in(facts.about([RECORD], what)[RECORD].facts)


def whats(facts: Facts) -> tuple[str, ...]:
    """Each `<product>@<platform>` that there are statements of."""
    return facts.subjects(RECORD, FactKind.STATEMENT_OFFERED)


def heads(facts: Facts) -> Mapping[tuple[str, int], str]:
    """(product@platform, sequence) -> digest of each statement on record, to be compared with what sites follow."""
    offered = (it.statement for what in whats(facts) for it in all_offered(facts, what))
    return {(it.what, it.sequence): it.digest for it in offered}


def offered_for(facts: Facts, rollout: str) -> tuple[Offered, ...]:
    """The newest statement that was offered for a rollout, of each platform, if none has followed it."""
    mine = facts.with_payload(FactKind.STATEMENT_OFFERED, "rollout", [rollout])
    newest = [all_offered(facts, what)[-1] for what in dict.fromkeys(fact.subject for fact in mine)]
    return tuple(it for it in newest if it.rollout == rollout)


# --- offering ----------------------------------------------------------------------------------------------------


def offer_installation(
    desk: Desk,
    tarball: Tarball,
    manifest: Manifest,
    platforms: Collection[Platform],
    *,
    packed: int,
    holds_for: timedelta,
) -> tuple[Offered, ...]:
    """Offer a statement for each platform, so that sites with a kit may install the rollout's preview; once.

    One is offered anew, with the next sequence, where it has ended, or where what followed it was withdrawn (going
    back).

    Args:
        packed: bytes of the whole payload; another zlib may need a little more, which is allowed for.
    """
    desk.rollout.must_not_be_withdrawn()

    def next_one(platform: Platform) -> Callable[[Sequence[Offered]], Statement | None]:
        def after(before: Sequence[Offered]) -> Statement | None:
            last = before[-1] if before else None
            if last and last.statement.action is Action.INSTALL and any(it.rollout == desk.name for it in before):  # noqa: SIM102
                # it stands; or a newer preview has followed, which a task that is repeated does not undo
                if last.rollout != desk.name or last.statement.expires > desk.now:
                    return None
            return statement_of(
                manifest,
                platform,
                str(desk.rollout.opened["tag"]),
                packed=packed + packed // 50 + _SPARE,
                before=[it.statement for it in before],
                now=desk.now,
                holds_for=holds_for,
            )

        return after

    for platform in sorted(platforms):
        _offer(desk, f"{manifest.metapackage}@{platform}", next_one(platform))
    return offered_for(desk.facts, desk.name)


def offer_withdrawal(desk: Desk, *, holds_for: timedelta) -> tuple[Offered, ...]:
    """Offer, for each platform on which the rollout's preview is what sites were last allowed, that they remove it.

    Where another preview has followed nothing has to be signed: what no statement in force asks for may go.
    """
    for what in [it.statement.what for it in offered_for(desk.facts, desk.name)]:

        def after(before: Sequence[Offered]) -> Statement | None:
            last = before[-1]
            if last.rollout != desk.name or last.statement.action is Action.REMOVE:
                return None
            return withdrawal_of(last.statement, now=desk.now, holds_for=holds_for)

        _offer(desk, what, after)
    return offered_for(desk.facts, desk.name)


def _offer(desk: Desk, what: str, after: Callable[[Sequence[Offered]], Statement | None]) -> None:
    opening = {"path": RolloutPath.STATEMENTS.value, "patch": 0}
    opened_by = Fact(RECORD, FactKind.ROLLOUT_OPENED, "", "", desk.now, desk.actor, opening)
    desk.facts.open(RolloutPath.STATEMENTS, 0, opened_by, RECORD)
    while (statement := after(all_offered(desk.facts, what))) is not None:
        payload = {
            "document": statement.text,
            "rollout": desk.name,
            "preview": statement.preview,
            "tag": statement.tag,
        }
        # of two who offer at once one is first, and the other looks again
        desk.facts.record(
            Fact(RECORD, FactKind.STATEMENT_OFFERED, what, str(statement.sequence), desk.now, desk.actor, payload)
        )


# --- signing -----------------------------------------------------------------------------------------------------


def facts_of_signatures(
    office: Office, rollout: str, text: str, role: str, user: str, roots: Mapping[Scheme, Root], check: Check
) -> tuple[Fact, ...]:
    """What follows from the signatures that somebody hands in; not recorded yet.

    Args:
        text: documents with signatures, as `pps sign` writes them; of these statements of the rollout, all.
        role: as what they sign (`domain.trust.keys.SignerRole`).
        roots: the keys in force, of each scheme that sites use.

    Raises:
        RefusedError: it is no such text; or one is of another statement or role, does not hold, or is missing.
    """
    try:
        handed = {signed.document: signed for signed in opened(text.replace("\r\n", "\n").strip() + "\n")}
    except PackageError as error:
        why = f"This is nothing that pps sign has written: {error.subject} {error.why}"
        raise RefusedError(f"signatures for {rollout}", (why,), f"Sign: pps sign {rollout}") from error
    found, reasons = list[Fact](), list[str]()
    for offered in offered_for(office.facts, rollout):
        statement = offered.statement
        name = f"{statement.what}, statement {statement.sequence}"
        signed = handed.pop(statement.text, Signed(statement.text))
        for scheme, root in sorted(roots.items()):
            hold, not_so = check(signed, root)
            mine = [s for s in hold if s.role == role]
            if not mine:
                others = [f"{s.person} signs as {s.role}, not as {role}." for s in hold] if hold else []
                said = [*others, *not_so] or [f"Nobody has signed it as {role}."]
                reasons.append(f"{name}, with {scheme}: {' '.join(said)}")
            found += [_signed(office, offered, signed, scheme, signer, user) for signer in mine]
    if handed:
        reasons.append(
            "It holds a document that is none of those to be signed: it was changed, or another has followed."
        )
    if reasons:
        raise RefusedError(f"signatures for {rollout}", tuple(reasons), f"Sign again: pps sign {rollout}")
    return tuple(found)


def _signed(office: Office, offered: Offered, signed: Signed, scheme: Scheme, by: Signer, user: str) -> Fact:
    signature = next(s.text for s in signed.signatures if s.signer == by.name)
    digest = hashlib.sha256(f"{scheme}\n{by.key}\n{signature}".encode()).hexdigest()[:16]
    payload: dict[str, Any] = {
        "scheme": scheme.value,
        "signer": by.name,
        "role": by.role,
        "person": by.person,
        "key": by.key,
        "signature": signature,
        "user": user,
    }
    statement = offered.statement
    occasion = f"{statement.sequence}/{digest}"
    return Fact(RECORD, FactKind.STATEMENT_SIGNED, statement.what, occasion, office.now, office.actor, payload)


def missing(offered: Iterable[Offered], roots: Iterable[Root]) -> tuple[str, ...]:
    """What is still to be signed, a sentence for each statement and scheme."""
    roots = tuple(roots)
    return tuple(
        f"{it.statement.what}, statement {it.statement.sequence} ({root.scheme}): {reason}"
        for it in offered
        for root in roots
        for reason in it.missing(root)
    )
