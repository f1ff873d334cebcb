"""`pps login`, `logout`, `whoami`: people sign in to an installation from machines of their own."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from pps.adapters.services.airflow_rest import AirflowClient
from pps.adapters.services.sign_in import SignIn, forget, keep
from pps.cli import output
from pps.cli.front import front
from pps.domain.base.errors import ConfigurationError, RefusedError

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def login(
    ctx: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="[URL]", help="Of the installation: https://pps.example.org; default: as before.")
    ] = "",
    user: Annotated[str, typer.Option(metavar="NAME", help="Your user name there; asked for otherwise.")] = "",
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read a token of Airflow from standard input instead of a password.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Sign in to an installation, as yourself: from then on, what pps shows and does is what your role may.

    Airflow's token is kept in a file that you alone can read (~/.config/pps/login.json), until it ends or you sign
    out; the password is not. Nothing of the installation has to be on this machine: no configuration, no database.

    \b
      pps login https://pps.example.org
      pps login --token-stdin <token.txt   # where you sign in by your home organisation
    """
    before = front(ctx).signed_in if not url else None
    at = _address(url or front(ctx).airflow_url or (before.url if before else ""))
    if token_stdin:
        token = sys.stdin.readline().strip()
        if not token:
            raise RefusedError("login", ("There is no token on standard input.",), "See: pps login --help")
        client = AirflowClient(at, user or "the token's owner", "", token=token)
    else:
        name = user or typer.prompt("User name", default=before.user if before else None, err=True)
        password = typer.prompt("Password", hide_input=True, err=True)
        client = AirflowClient(at, name, password)
        token = client.token()
    me = _me(client)
    found = SignIn(at, str(me["user"]), token)
    path = keep(found)
    if as_json:
        return output.say_json(_view(found, me))
    output.say(f"Signed in to {at} as {found.user} ({_roles(me)}){_until(found)}.")
    return output.say(f"Kept in {path}, which you alone can read. Sign out: pps logout")


def logout(as_json: output.Json = False) -> None:
    """Sign out: remove the token from this machine."""
    there = forget()
    if as_json:
        return output.say_json({"signed_out": there})
    return output.say("Signed out." if there else "Nobody was signed in here.")


def whoami(ctx: typer.Context, as_json: output.Json = False) -> None:
    """Show who you are to the installation, by the roles that you hold now, and until when you are signed in."""
    here = front(ctx)
    me, found = here.get("me", {}, about="who you are"), here.signed_in
    if as_json:
        return output.say_json(_view(found, me))
    rows = [
        ("user", me["user"]),
        ("roles", _roles(me)),
        ("at", found.url if found else here.airflow_url or here.services.config.service.public_url),
        ("reads", ", ".join(me["files"])),
        ("addresses", "shown" if me["addresses"] else "masked"),
    ]
    return output.say(output.pairs([*rows, *((("until", output.moment(u)),) if found and (u := found.until) else ())]))


def _me(client: AirflowClient) -> dict[str, Any]:
    answer = client.request("GET", "pps/api/v1/me")
    try:
        said = answer.json()
    except ValueError as error:
        why = f"answers, but is no PPS Rollout (HTTP {answer.status_code})."
        raise ConfigurationError(client.url, why, "Give the address of the installation.") from error
    if not answer.ok:
        raise RefusedError("login", (str(said.get("detail", said)),), "Ask those who run the service for a role.")
    return dict(said)


def _address(url: str) -> str:
    """The address without its last slash.

    Raises:
        RefusedError: it is none, or the password would travel in clear.
    """
    parts = urlsplit(url)
    if not url:
        raise RefusedError("login", ("It is not known where.",), "Give the address: pps login https://pps.example.org")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise RefusedError(f"login at {url[:100]!r}", ("This is no address of an installation.",), "https://host/path")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        why = "Your password would travel in clear."
        raise RefusedError(f"login at {url[:100]!r}", (why,), "Use the https address.")
    return url.rstrip("/")


def _roles(me: dict[str, Any]) -> str:
    return ", ".join(me["roles"]) or "no role"


def _until(found: SignIn) -> str:
    return f", until {output.moment(found.until)}" if found.until else ""


def _view(found: SignIn | None, me: dict[str, Any]) -> dict[str, Any]:
    until = found.until if found else None
    return {
        **me,
        "url": found.url if found else None,
        "until": until,
        "ended": bool(until and until < datetime.now(UTC)),
    }
