"""Makes Airflow's users what roles.yaml says (`pps users apply`). `python -m pps.orchestration.users`

One process for both looks, since Airflow takes seconds to start. Reads a line of JSON from standard input, `{"users":
[{"name", "email", "first_name", "last_name", "roles", "active", "password"}]}`, and prints a line `users: {...}`: what
is new, what changes, who is not in the list. A password that is not None is to be that user's. A second line, `{user:
first password, ...}`, then makes it so, in one transaction, and prints the same once more; the end of the input changes
nothing.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

ANSWER = "users: "


def main() -> int:
    """Compare, and apply if that is wanted; 1 with a sentence if Airflow's database is not ready."""
    from airflow.utils.session import create_session
    from sqlalchemy.exc import SQLAlchemyError

    users = json.loads(sys.stdin.readline())["users"]
    try:
        with create_session() as session:
            print(ANSWER + json.dumps(_compare(session, users)), flush=True)
        if second := sys.stdin.readline():
            with create_session() as session:
                _make_roles(session)
                said = _apply(session, users, json.loads(second))
            print(ANSWER + json.dumps(said), flush=True)
    except SQLAlchemyError as error:
        first = str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:300]
        print(f"{type(error).__name__}: {first}", file=sys.stderr)
        return 1
    return 0


def _make_roles(session: Session) -> None:
    from airflow.providers.fab.www.security_appless import ApplessAirflowSecurityManager

    from pps.orchestration.roles import create_roles

    ApplessAirflowSecurityManager(session=session).sync_roles()
    create_roles(session)


def _compare(session: Session, wanted: list[dict[str, Any]]) -> dict[str, Any]:
    from airflow.providers.fab.auth_manager.models import User
    from sqlalchemy import select

    have = {user.username: user for user in session.scalars(select(User)).unique()}
    changes = []
    for given in wanted:
        user = have.get(given["name"])
        what = ["new"] if user is None else _differences(user, given)
        changes.append({"user": given["name"], "roles": given["roles"], "change": what})
    names = {given["name"] for given in wanted}
    others = [{"user": name, "roles": sorted(r.name for r in user.roles)} for name, user in have.items()]
    others = [one for one in others if one["user"] not in names]
    return {"changes": changes, "not_in_file": sorted(others, key=lambda one: str(one["user"]))}


def _apply(session: Session, wanted: list[dict[str, Any]], first: dict[str, str]) -> dict[str, Any]:
    from airflow.providers.fab.auth_manager.models import Role, User
    from sqlalchemy import select

    said = _compare(session, wanted)
    roles = {role.name: role for role in session.scalars(select(Role)).unique()}
    have = {user.username: user for user in session.scalars(select(User)).unique()}
    for given, change in zip(wanted, said["changes"], strict=True):
        if not change["change"]:
            continue
        user = have.get(given["name"]) or User(username=given["name"])
        user.email, user.active = given["email"], given["active"]
        user.first_name, user.last_name = given["first_name"], given["last_name"]
        user.roles = [roles[name] for name in given["roles"]]
        password = given["password"] or (first.get(given["name"]) if change["change"] == ["new"] else None)
        if password:
            user.password = _hashed(password)
        session.add(user)
    return said


def _differences(user: Any, given: dict[str, Any]) -> list[str]:
    from werkzeug.security import check_password_hash

    found = []
    before, after = sorted(role.name for role in user.roles), sorted(given["roles"])
    if before != after:
        found.append(f"roles: {', '.join(before) or 'none'} -> {', '.join(after)}")
    for field in ("email", "first_name", "last_name"):
        if getattr(user, field) != given[field]:
            found.append(f"{field}: {getattr(user, field)} -> {given[field]}")
    if bool(user.active) != given["active"]:
        found.append("may sign in again" if given["active"] else "may no longer sign in")
    if given["password"] and not check_password_hash(user.password or "", given["password"]):
        found.append("password")
    return found


def _hashed(password: str) -> str:
    from werkzeug.security import generate_password_hash

    return str(generate_password_hash(password))


if __name__ == "__main__":
    sys.exit(main())
