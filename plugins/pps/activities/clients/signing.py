"""Two people sign what sites with a kit may do, before anything goes there (docs/kit.md): the question to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from pps.activities.desk import Desk
from pps.activities.ports.packages import Artefacts
from pps.activities.trust import statements
from pps.activities.trust.words import in_words
from pps.domain.base.errors import RefusedError
from pps.domain.base.texts import clean_text
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.domain.record.statements import Offered
from pps.domain.sites.site import Platform, Scheme, Site
from pps.domain.trust.keys import Root, SignerRole
from pps.domain.trust.statement import Action

#: Steps: stored with the answers, never rename.
PREVIEW, WITHDRAWAL = "sign-statements", "sign-withdrawal"
ACTIONS = {PREVIEW: Action.INSTALL, WITHDRAWAL: Action.REMOVE}
SIGNED = "Signed"
NOT_SIGNED = "I do not sign it"
OPTIONS = (SIGNED, NOT_SIGNED)
SIGNS_AS = {
    Role.RELEASE_MANAGER.value: SignerRole.RELEASE_MANAGER,
    Role.PPS_COORDINATOR.value: SignerRole.PPS_COORDINATOR,
}


def with_kits(sites: Iterable[Site]) -> tuple[str, ...]:
    """Those that verify themselves what they install."""
    return tuple(site.name for site in sites if site.kit is not None)


def platforms_with_kits(sites: Iterable[Site]) -> set[Platform]:
    """For which platforms something has to be signed."""
    return {site.platform for site in sites if site.kit is not None}


def to_be_signed(desk: Desk, step: str, role: str, roots: Mapping[Scheme, Root]) -> tuple[Offered, ...]:
    """Statements of this step that nobody with this role has signed yet with each scheme."""
    return tuple(
        it
        for it in statements.offered_for(desk.facts, desk.name)
        if it.statement.action is ACTIONS[step] and not all(SIGNS_AS[role] in it.roles(root) for root in roots.values())
    )


def question_view(
    record: Rollout, wanted: Collection[Offered], sites: Iterable[Site], role: str, due: datetime
) -> Mapping[str, Any]:
    """The view of the template `ask_signature.md`."""
    with_kit = [site for site in sites if site.kit is not None]
    return {
        "rollout": record.name,
        "opened": record.opened,
        "role": role,
        "statements": [(it.statement.what, in_words(it.statement.text)) for it in wanted],
        "sites": sorted(s.name for s in with_kit if any(str(s.platform) == it.statement.platform for it in wanted)),
        "withdrawn": record.is_withdrawn,
        "due": due,
    }


def facts_of_answer(
    desk: Desk, role: str, given: Given, roots: Mapping[Scheme, Root], check: statements.Check
) -> tuple[Fact, ...]:
    """What follows from an answer: signatures on record, if they hold.

    Raises:
        RefusedError: as `statements.facts_of_signatures`; or it does not say why it is not signed.
    """
    if given.choice == SIGNED:
        at = desk.by(given.who, given.at)
        text = clean_text(str(given.form.get("signatures") or ""))
        return statements.facts_of_signatures(at, desk.name, text, SIGNS_AS[role], given.user, roots, check)
    if not str(given.form.get("remarks") or "").strip():
        raise RefusedError(f"{role} on {desk.name}", ("The remarks do not say why it is not signed.",))
    return ()


def manifest_text(preview: str, artefacts: Artefacts) -> str:
    """MANIFEST of a preview as the store has it, for whoever compares it with a statement; "" where it is lost."""
    if artefacts.find(preview) is None:
        return ""
    with artefacts.open(preview, "MANIFEST") as file:
        return file.read().decode(errors="replace")


def _on_record(desk: Desk, fact: Fact) -> Fact:
    """What somebody has handed in before."""
    mine = desk.facts.about([fact.rollout], fact.subject)[fact.rollout].facts
    return next(f for f in mine if (f.kind, f.occasion) == (fact.kind, fact.occasion))


def sign(
    desk: Desk,
    text: str,
    user: str,
    mine: Collection[str],
    roots: Mapping[Scheme, Root],
    check: statements.Check,
) -> Fact:
    """Put signatures on record beside the question: it may have ended, or not have been asked; returns the newest.

    Args:
        mine: all names under which whoever sends them is known (`domain.people.roles.identities`).

    Raises:
        RefusedError: as `statements.facts_of_signatures`; or the account has neither of the two roles.
    """
    roles = [role for role in SIGNS_AS if f"role:{role}" in mine]
    if not roles:
        why = f"Only a {' or a '.join(SIGNS_AS)} signs what sites may do."
        raise RefusedError(f"signatures for {desk.name}", (why,), "Sign in as one of them.")
    if not statements.offered_for(desk.facts, desk.name):
        why = "Nothing of it is to be signed: no site with a kit is planned, or another preview has followed."
        raise RefusedError(f"signatures for {desk.name}", (why,), f"Look at: pps rollout show {desk.name}")
    refused: list[str] = []
    for role in roles:
        try:
            at = desk.by(f"user {user}", desk.now)
            facts = statements.facts_of_signatures(at, desk.name, clean_text(text), SIGNS_AS[role], user, roots, check)
        except RefusedError as error:
            refused += error.reasons
        else:
            new = desk.facts.record(*facts)
            return new[-1] if new else _on_record(desk, facts[-1])
    raise RefusedError(f"signatures for {desk.name}", tuple(refused), f"Sign again: pps sign {desk.name}")
