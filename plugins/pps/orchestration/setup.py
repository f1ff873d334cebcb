"""Makes an Airflow database ready in one process: schema, roles, users. `python -m pps.orchestration.setup`

Reads `{"users": [{"name", "role", "password"}]}` from standard input; each command of Airflow's own
for this costs 4 s of imports. Prints one line per finished step. Users that exist get the password
given: it is the owner of the installation who calls.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Migrate, then make roles and users."""
    from airflow.providers_manager import ProvidersManager
    from airflow.utils import db
    from airflow.utils.session import create_session

    ProvidersManager().initialize_providers_configuration()  # type: ignore[no-untyped-call]
    db.initdb()
    print("done: schema", flush=True)

    from airflow.providers.fab.auth_manager.models import Role, User
    from airflow.providers.fab.www.security_appless import ApplessAirflowSecurityManager
    from sqlalchemy import select
    from werkzeug.security import generate_password_hash

    from pps.orchestration.roles import create_roles

    users = json.load(sys.stdin)["users"]
    with create_session() as session:
        ApplessAirflowSecurityManager(session=session).sync_roles()
        create_roles(session)
        print("done: roles", flush=True)
        roles = {role.name: role for role in session.scalars(select(Role)).unique()}
        have = {user.username: user for user in session.scalars(select(User)).unique()}
        for given in users:
            name = given["name"]
            user = have.get(name) or User(
                username=name, first_name=given["role"], last_name="", email=f"{name}@localhost"
            )
            user.active = True
            user.roles = [roles[given["role"]]]
            user.password = generate_password_hash(given["password"])
            session.add(user)
    print("done: users", flush=True)


if __name__ == "__main__":
    main()
