"""Who may do what in Airflow: FAB's users and roles, with human tasks that belong to a role.

Configured by `AIRFLOW__CORE__AUTH_MANAGER=pps.orchestration.auth.GridAuthManager`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.utils.session import create_session

from pps.domain.people.roles import identities
from pps.orchestration.roles import create_roles, may_start

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails

#: To answer a human task or start a run, FAB also wants the right to edit the DAG, which is the right
#: to pause it for everybody. Reading the DAG is enough here; the right on the thing itself is still asked.
_READING_IS_ENOUGH = {(DagAccessEntity.HITL_DETAIL, "PUT"), (DagAccessEntity.RUN, "POST")}


def _rights(role: Any) -> set[tuple[str, str]]:
    return {(p.action.name, p.resource.name) for p in role.permissions if p.action and p.resource}


class GridAuthManager(FabAuthManager):
    """FAB, plus human tasks assigned to `role:<Name>`."""

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: Any) -> bool:
        """Tell whether the task is assigned to this user, by id, as `user:<name>`, or by one of the roles held now."""
        me = identities(user.get_id(), user.get_name(), (role.name for role in user.roles))
        return bool(me & set(assigned_users))

    def is_authorized_dag(
        self,
        *,
        method: ResourceMethod,
        user: Any,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        """As FAB, but answering and starting need no right to edit the DAG itself."""
        if access_entity is not None and (access_entity, method) in _READING_IS_ENOUGH:
            on_it = all(
                self._is_authorized(method=method, resource_type=kind, user=user)
                for kind in self._get_fab_resource_types(access_entity)
            )
            if (access_entity, method) == (DagAccessEntity.RUN, "POST") and on_it:
                starters = [role.name for role in user.roles if ("can_create", "DAG Runs") in _rights(role)]
                on_it = may_start(starters, details.id if details else None)
            return on_it and super().is_authorized_dag(method="GET", user=user, details=details)
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)

    def _sync_appbuilder_roles(self) -> None:
        # also where nobody runs our set-up: the first api-server makes the roles
        super()._sync_appbuilder_roles()  # type: ignore[no-untyped-call]
        from airflow.providers.common.compat.sdk import conf

        if conf.getboolean("fab", "UPDATE_FAB_PERMS"):
            with create_session() as session:
                create_roles(session)
