"""Who stands in a record by user name: such names are hidden from the public, wherever people wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pps.domain.people.roles import Role
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout

#: Keys of payloads under which users stand, alone, in lists, or by role.
_KEYS = frozenset({"user", "by", "who", "person", "assigned_to"})
_SHORTEST = 2
#: Facts whose subjects are invited VOs, and sites that take part in a pilot. A site that acts itself stands as `by`.
_ABOUT_THE_PUBLIC = frozenset(
    {
        FactKind.VO_INVITED,
        FactKind.SITES_SELECTED,
        FactKind.SERVICE_SET_UP,
        FactKind.SERVICE_ROLLED_BACK,
        FactKind.SITE_LEFT_OUT,
    }
)


def users_in(*records: Rollout) -> frozenset[str]:
    """The user names that stand in the facts. Names of roles, sites and invited VOs do not count, even if a user has
    such a name: the public is told of them.
    """
    public = {word.casefold() for role in Role for word in (role.value, *role.value.split())}
    found: set[str] = set()
    for record in records:
        public |= {progress.site.casefold() for progress in record.all_progress()}
        for fact in record.facts:
            if fact.kind in _ABOUT_THE_PUBLIC:
                public |= {fact.subject.casefold(), *(str(site).casefold() for site in fact.payload.get("sites", ()))}
            found |= {fact.actor.removeprefix("user "), *_under_keys(fact.payload)}
    return frozenset(name for name in found if _is_user(name) and name.casefold() not in public)


def _is_user(name: str) -> bool:
    # other actors are "airflow:<DAG>", "pps:<what>" and "VO <name>"
    return len(name) >= _SHORTEST and not any(sign in name for sign in ": \n")


def _under_keys(value: Any, *, inside: bool = False) -> Iterator[str]:
    if isinstance(value, str):
        if inside:
            yield value.removeprefix("user:")
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _under_keys(part, inside=inside or key in _KEYS)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _under_keys(part, inside=inside)
