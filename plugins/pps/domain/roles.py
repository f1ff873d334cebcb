"""The roles that act in a rollout and sign in (SD 3, "The roles are")."""

from __future__ import annotations

from collections.abc import Iterable
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
