"""The field's roles in Airflow: what each may do there, and the code that makes it so (FAB's tables).

Nobody but an Admin may edit task instances: whoever can mark a human task successful can answer it
for somebody else. So a role may look, and where the service description asks it something, answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from pps.domain.people.roles import Role, reasons_against_asking_for_pilot
from pps.domain.record.rollouts import PILOTS
from pps.workflow.paths import OVERRULE, dag_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Right = tuple[str, str]

#: FAB's names for its actions and resources, as its pages under Security show them.
_READ, _EDIT, _CREATE, _MENU = "can_read", "can_edit", "can_create", "menu_access"

#: Without it the interface hides our own pages.
_SEES_PAGES: Right = (_READ, "Plugins")

LOOK: frozenset[Right] = frozenset(
    [(_READ, r) for r in ("DAGs", "DAG Runs", "DAG Code", "DAG Versions", "DAG Warnings", "DAG Dependencies")]
    + [
        (_READ, r)
        for r in ("Task Instances", "Task Logs", "XComs", "HITL Detail", "Cluster Activity", "Website", "Jobs")
    ]
    + [_SEES_PAGES, (_READ, "My Profile"), (_READ, "My Password"), (_EDIT, "My Password")]
    + [(_MENU, r) for r in ("DAGs", "DAG Runs", "Task Instances", "Browse", "HITL Detail", "Docs")]
)
ANSWER: frozenset[Right] = LOOK | {(_EDIT, "HITL Detail")}
START: frozenset[Right] = ANSWER | {(_CREATE, "DAG Runs")}

#: SD 4.1.3, 1: pilots are requested by the EMT, and by VOs.
_PILOTS = frozenset(dag_of(path) for path in PILOTS)
_MAY_START = (Role.RELEASE_MANAGER, Role.PPS_COORDINATOR, Role.EMT, Role.VO_REPRESENTATIVE)

#: Roles of SD 2 that sign in, with their rights. `viewer` and `admin` use FAB's own Viewer and Admin.
ROLES: dict[str, frozenset[Right]] = {role.value: START if role in _MAY_START else ANSWER for role in Role}
ROLES[Role.SECURITY_OFFICER.value] = LOOK  # nothing is asked of them
#: Roles that start some DAGs only. FAB's right to start is for all of them, so the auth manager looks here as well.
STARTS_ONLY: dict[str, frozenset[str]] = {
    Role.EMT.value: frozenset({OVERRULE}) | _PILOTS,  # SD 4.1.3: critical bugs and vulnerabilities
    Role.VO_REPRESENTATIVE.value: _PILOTS,
}


def may_start(roles: Collection[str], dag: str | None) -> bool:
    """Tell whether somebody with these roles may start this DAG, if FAB lets them start any.

    Args:
        dag: its id; None: any DAG whatever, which a role that may start only some may not.
    """
    return any(role not in STARTS_ONLY or dag in STARTS_ONLY[role] for role in roles)


def reasons_against_start(
    dag: str, conf: Mapping[str, Any], representatives: Mapping[str, Collection[str]], mine: Collection[str]
) -> tuple[str, ...]:
    """Say why somebody whose roles may start this DAG may not do so with this conf; no reasons means that they may.

    Args:
        representatives: VO -> user names, as in people.yaml.
        mine: all names under which this person is known (`domain.roles.identities`).
    """
    if dag not in _PILOTS:
        return ()
    vo, continues = str(conf.get("vo") or ""), str(conf.get("continues") or "")
    return reasons_against_asking_for_pilot(vo, continues, representatives, mine)


def create_roles(session: Session) -> None:
    """Make the roles what `ROLES` says, no less and no more, and let Viewers see our pages; twice changes nothing."""
    from airflow.providers.fab.auth_manager.models import Action, Permission, Resource, Role
    from sqlalchemy import select

    actions = {a.name: a for a in session.scalars(select(Action))}
    resources = {r.name: r for r in session.scalars(select(Resource))}
    permissions = {
        (p.action.name, p.resource.name): p
        for p in session.scalars(select(Permission)).unique()
        if p.action and p.resource
    }
    roles = {r.name: r for r in session.scalars(select(Role)).unique()}
    for right in sorted(frozenset().union(*ROLES.values()) - set(permissions)):
        action, resource = right
        actions.setdefault(action, Action(name=action))
        resources.setdefault(resource, Resource(name=resource))
        permissions[right] = Permission(action=actions[action], resource=resources[resource])
        session.add(permissions[right])
    for name, rights in ROLES.items():
        role = roles.get(name) or Role(name=name)
        session.add(role)
        wanted = {permissions[right] for right in rights}
        if set(role.permissions) != wanted:
            role.permissions = sorted(wanted, key=str)
    # Airflow's own Viewer sees everything but what plugins bring: our entry in the menu would be a 404
    if (viewer := roles.get("Viewer")) and (mine := permissions[_SEES_PAGES]) not in viewer.permissions:
        viewer.permissions.append(mine)
    session.commit()
