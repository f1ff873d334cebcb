"""The roles that act in a rollout and sign in (SD 3, "The roles are")."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum


class Role(StrEnum):
    """A role, as SD names it; also its name in Airflow. Stored in facts: never rename."""

    RELEASE_MANAGER = "Release Manager"
    PPS_COORDINATOR = "PPS Coordinator"
    EMT = "EMT"
    SITE_ADMINISTRATOR = "Site Administrator"
    REGIONAL_MANAGER = "Regional Manager"
    VO_REPRESENTATIVE = "VO Representative"
    PROVIDER = "Software Provider"
    SECURITY_OFFICER = "Security Officer"
    """of an infrastructure; sees which sites still have what is vulnerable (docs/security-advice.md)"""


#: Roles whose holders may read what is not public. Somebody with none of them has an account, but nothing to do with
#: rollouts. The last ones are Airflow's own, but for "Public", which everybody has.
READERS = frozenset({*(role.value for role in Role), "Admin", "Op", "User", "Viewer"})


def identities(user_id: object, name: str, roles: Iterable[str]) -> frozenset[str]:
    """All names under which a question may be assigned to somebody: by id, as `user:<name>`, by the roles held now."""
    return frozenset({str(user_id), f"user:{name}", *(f"role:{role}" for role in roles)})


def reasons_against_speaking_for_vo(vo: str, representatives: Iterable[str], mine: Collection[str]) -> tuple[str, ...]:
    """Say why somebody may not speak for a VO; no reasons means that they may.

    Its representatives may, as people.yaml names them, but not those of other VOs: the role alone says that somebody
    speaks for some VO, not for which. The coordination may as well: many VOs answer by mail, or in a meeting
    (SD 4.1.3, 2).

    Args:
        mine: all names under which this person is known (`identities`).
    """
    named = {f"user:{name}" for name in representatives}
    if (named | {f"role:{Role.PPS_COORDINATOR}"}) & set(mine):
        return ()
    if not named:
        return (
            f"Only the {Role.PPS_COORDINATOR} may speak for {vo}: people.yaml names nobody else. "
            f"To let others speak for it, add them there, by user name, to the representatives of {vo}.",
        )
    return (f"Only those whom people.yaml names and the {Role.PPS_COORDINATOR} may speak for {vo}.",)


def reasons_against_speaking_for_site(
    site: str, administrators: Iterable[str], what: str, mine: Collection[str]
) -> tuple[str, ...]:
    """Say why somebody may not speak for a site; no reasons means that they may.

    Its administrators may, as the site registry names them, but not those of other sites; and the coordination, who
    hears from sites by mail and in meetings.

    Args:
        what: what they may not, e.g. `say what it wishes`.
        mine: as above.
    """
    allowed = {f"user:{name}" for name in administrators} | {f"role:{Role.PPS_COORDINATOR}"}
    if allowed & set(mine):
        return ()
    return (f"Only the administrators of {site} and the {Role.PPS_COORDINATOR} may {what}.",)


def reasons_against_asking_for_pilot(
    vo: str, continues: str, representatives: Mapping[str, Collection[str]], mine: Collection[str]
) -> tuple[str, ...]:
    """Say why somebody may not ask for a pilot in this way; no reasons means that they may.

    Source: SD 4.1.3, 1: the EMT asks, for ITR or the developers, and VOs do. The record names who asked, so nobody
    asks in a name that is not theirs.

    Args:
        vo: the VO on whose behalf it is asked for; "": the EMT's own.
        continues: the pilot of which this is another round, decided on at the wrap-up; "" for a new one.
        representatives: VO -> user names.
        mine: as above.
    """
    if continues:
        allowed = f"role:{Role.PPS_COORDINATOR}" in mine
        return () if allowed else ("Another round is started by the wrap-up, or by the coordination.",)
    if vo:
        if vo not in representatives:
            return (f"The VO {vo[:60]!r} is not in people.yaml.",)
        return reasons_against_speaking_for_vo(vo, representatives[vo], mine)
    if f"role:{Role.EMT}" in mine:
        return ()
    return (f"Only the {Role.EMT} asks for a pilot without a VO. Say in `vo` for which VO you ask.",)
