"""The roles that act in a rollout and sign in (SD 3, "The roles are")."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum


class Role(StrEnum):
    """A role, as SD names it; also its name in Airflow. Stored in facts: never rename."""

    RELEASE_MANAGER = "Release Manager"
    PPS_COORDINATOR = "PPS Coordinator"
    EMT = "EMT"
    SITE_ADMINISTRATOR = "Site Administrator"
    REGIONAL_MANAGER = "Regional Manager"
    VO_REPRESENTATIVE = "VO Representative"


def identities(user_id: object, name: str, roles: Iterable[str]) -> frozenset[str]:
    """All under which a question may be assigned to somebody: by id, as `user:<name>`, by the roles held now."""
    return frozenset({str(user_id), f"user:{name}", *(f"role:{role}" for role in roles)})


def reasons_against_speaking_for_vo(vo: str, representatives: Iterable[str], mine: Collection[str]) -> tuple[str, ...]:
    """Say why somebody may not speak for a VO; no reasons means that they may.

    Its representatives may, as people.yaml names them; where it names none, whoever has the role. The coordination
    may as well: many VOs answer by mail, or in a meeting (SD 4.1.3, 2).

    Args:
        mine: all under which this person is known (`identities`).
    """
    named = {f"user:{name}" for name in representatives}
    allowed = (named or {f"role:{Role.VO_REPRESENTATIVE}"}) | {f"role:{Role.PPS_COORDINATOR}"}
    if allowed & set(mine):
        return ()
    who = f"the representatives of {vo}" if named else f"a {Role.VO_REPRESENTATIVE}"
    return (f"Only {who} and the {Role.PPS_COORDINATOR} may speak for {vo}.",)
