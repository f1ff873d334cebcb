"""The roles of SD 2 that sign in, and can therefore be asked something. Their rights: `orchestration/roles.py`."""

from __future__ import annotations

from collections.abc import Iterable

ROLES_THAT_ANSWER = (
    "Release Manager",
    "PPS Coordinator",
    "EMT",
    "Site Administrator",
    "Regional Manager",
    "VO Representative",
)


def identities(user_id: object, name: str, roles: Iterable[str]) -> frozenset[str]:
    """All under which a question may be assigned to somebody: by id, as `user:<name>`, by the roles held now."""
    return frozenset({str(user_id), f"user:{name}", *(f"role:{role}" for role in roles)})
