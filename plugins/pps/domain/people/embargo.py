"""What is under embargo, and who may know of it.

What the tracker says of a patch's vulnerabilities goes on record in its dossier each time that it has changed
(ADVICE_SEEN), before anything else of the patch does: whatever is shown or sent is made from the record.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from pps.domain.packages.advice import Advice
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact, FactKind

_OF_PATCH = re.compile(r"patch-([1-9][0-9]{0,8})|[a-z-]+-([1-9][0-9]{0,8})-[1-9][0-9]{0,8}")


def advice_in(facts: Iterable[Fact]) -> Advice:
    """The newest word in a patch's dossier; without one it closes nothing, and is no secret."""
    return max(
        ((int(f.occasion), Advice.of(f.payload)) for f in facts if f.kind is FactKind.ADVICE_SEEN),
        key=lambda numbered: numbered[0],
        default=(0, Advice()),
    )[1]


def advice_by_patch(facts: Iterable[Fact]) -> Mapping[int, Advice]:
    """Patch -> the newest word on it.

    Args:
        facts: of all dossiers; those of other kinds say nothing here.
    """
    found: dict[int, list[Fact]] = {}
    for fact in facts:
        if fact.kind is FactKind.ADVICE_SEEN and (number := patch_in(fact.rollout)) is not None:
            found.setdefault(number, []).append(fact)
    return {number: advice_in(said) for number, said in found.items()}


def patch_in(name: str) -> int | None:
    """The patch of a rollout or dossier, by its name; None for a record that is of no patch."""
    found = _OF_PATCH.fullmatch(name)
    return int(found[1] or found[2]) if found else None


def is_told_of(hidden: Mapping[int, Advice], fact: Fact) -> bool:
    """Tell whether a fact speaks of a patch that is under embargo, whichever record it is in."""
    if not hidden:
        return False
    numbers = {patch_in(fact.rollout), fact.payload.get("patch"), patch_in(str(fact.payload.get("rollout", "")))}
    return not numbers.isdisjoint(hidden) or any(advice.is_named_in(fact.payload) for advice in hidden.values())


#: Roles whose holders work on what is under embargo, whichever patch it is. SD 4.1.3: vulnerabilities are the EMT's.
INSIDERS = (Role.RELEASE_MANAGER, Role.PPS_COORDINATOR, Role.EMT, Role.SECURITY_OFFICER)
_ADMIN = "Admin"


def may_know(mine: Collection[str], administrators: Iterable[str] = (), provider: Iterable[str] = ()) -> bool:
    """Tell whether somebody may see a patch that is under embargo: those who work on it, and nobody else.

    Args:
        mine: all names under which this person is known (`domain.people.roles.identities`); none: a stranger.
        administrators: user names of the people of the sites that it goes to.
        provider: user names of its provider's people.
    """
    allowed = {f"role:{role}" for role in (*INSIDERS, _ADMIN)}
    allowed |= {f"user:{name}" for name in (*administrators, *provider)}
    return not allowed.isdisjoint(mine)
