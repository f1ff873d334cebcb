"""`pps users`: who signs in to Airflow, and as what."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from pps.cli import output
from pps.cli.front import Front, front, group
from pps.config.loader import read_model
from pps.config.role_models import RolesFile, UserModel
from pps.domain.base.errors import ConfigurationError, RolloutError, ServiceError
from pps.domain.base.texts import one_line

app = group("Users of Airflow, and their roles; with the settings of the service (docs/production.md, 5).")

_ANSWER = "users: "


@app.command()
def apply(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="roles.yaml; deploy/etc-pps has one.")
    ],
    passwords: Annotated[
        Path | None,
        typer.Option(
            metavar="NEW-FILE",
            show_default=False,
            help="Give each new user a first password, and write these into NEW-FILE, readable by you alone. Without "
            "it new users have none: they sign in by OpenID Connect, or an Admin gives them one.",
        ),
    ] = None,
    dry_run: output.DryRun = False,
    as_json: output.Json = False,
) -> None:
    """Make Airflow's users what FILE says: shows what changes, and changes it. A second time nothing changes.

    Users that FILE does not name stay as they are, and are listed; `active: false` closes a user. Roles that somebody
    has beside those of FILE are taken away. No password is printed, and none that a person has set is changed.
    """
    here = front(ctx)
    wanted = read_model(file, RolesFile)
    problems = _against_the_registry(here, wanted)
    given, written = [_given(user) for user in wanted.all_users], None
    with _Airflow(given) as airflow:
        said = airflow.said
        if not dry_run and any(one["change"] for one in said["changes"]):
            new = [one["user"] for one in said["changes"] if one["change"] == ["new"]]
            own = [user.name for user in wanted.all_users if user.name in new and not user.password_env]
            first = {name: secrets.token_urlsafe(12) for name in own} if passwords else {}
            with _kept(passwords, first):
                said = airflow.apply(first)
            written = passwords if first else None
    if as_json:
        return output.say_json({**said, "problems": problems, "applied": not dry_run, "passwords": written})
    rows = [(one["user"], ", ".join(one["roles"]), "; ".join(one["change"]) or "as it is") for one in said["changes"]]
    output.say(output.table(("USER", "ROLES", "CHANGE" if dry_run else "CHANGED"), rows))
    if said["not_in_file"]:
        others = ", ".join(f"{one['user']} ({', '.join(one['roles']) or 'no role'})" for one in said["not_in_file"])
        output.say(f"Not in {file.name}, and left as they are: {others}.")
    for problem in problems:
        output.say(problem)
    if written:
        output.say(f"First passwords of new users are in {written}; delete it when they have them.")
    return None


def _against_the_registry(here: Front, wanted: RolesFile) -> list[str]:
    """What does not fit sites.yaml, by which questions to a site find its people."""
    sites, found = here.services.config.sites, []
    if unknown := sorted(wanted.sites.keys() - sites.keys()):
        why = f"names sites that are not in sites.yaml: {', '.join(unknown)}."
        raise ConfigurationError("roles.yaml", why, "Correct the names, or add the sites.")
    for site, people in wanted.sites.items():
        named = {person.name for person in people}
        if left_out := sorted(named - set(sites[site].administrators)):
            found.append(f"{site}: {', '.join(left_out)} not among the administrators in sites.yaml, so not asked.")
    known = {user.name for user in wanted.all_users}
    for registered in sites.values():
        if missing := sorted(set(registered.administrators) - known):
            found.append(f"{registered.name}: {', '.join(missing)} of sites.yaml not in this file.")
    return found


class _Airflow:
    """A process that has Airflow's database (pps.orchestration.users); passwords go by its standard input."""

    def __init__(self, users: Sequence[Mapping[str, Any]]) -> None:
        self._users = users

    def __enter__(self) -> _Airflow:
        self._errors = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pps.orchestration.users"],
            env={**os.environ, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.said = self._ask({"users": self._users})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._process.communicate()
        self._errors.close()

    def apply(self, first: Mapping[str, str]) -> dict[str, Any]:
        """Make it so; `first`: passwords of new users."""
        return self._ask(first)

    def _ask(self, line: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        for answer in self._process.stdout:
            if answer.startswith(_ANSWER):
                found: dict[str, Any] = json.loads(answer.removeprefix(_ANSWER))
                return found
        self._process.wait()
        self._errors.seek(0)
        why = one_line(" ".join(self._errors.read().splitlines()[-1:]), 400) or "it ended without an answer"
        step = "Set AIRFLOW__DATABASE__SQL_ALCHEMY_CONN as the services have it, and run: airflow db migrate"
        raise ServiceError("Airflow's database", f"does not answer as it should ({why}).", step)


def _given(user: UserModel) -> dict[str, Any]:
    password = os.environ.get(user.password_env, "") if user.password_env else None
    if password is not None and len(password) < 16:
        why = f"{user.password_env} is not set, or shorter than 16 characters; it is {user.name}'s password."
        raise ConfigurationError("roles.yaml", why, "Set it, as for those who sign in with it.")
    return {
        **user.model_dump(include={"name", "first_name", "last_name", "active"}),
        "email": user.address,
        "roles": list(user.roles),
        "password": password,
    }


@contextmanager
def _kept(file: Path | None, first: Mapping[str, str]) -> Iterator[None]:
    """Written before anything changes, so that no password is lost; removed if nothing was changed."""
    if file is None or not first:
        yield
        return
    try:
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
            out.writelines(f"{name} {password}\n" for name, password in first.items())
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise ConfigurationError(str(file), f"cannot be made ({error.strerror}).", "Name a new file.") from error
    try:
        yield
    except (RolloutError, KeyboardInterrupt):
        file.unlink(missing_ok=True)
        raise
