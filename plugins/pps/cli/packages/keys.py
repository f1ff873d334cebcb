"""`pps keys`: the key that signs the repositories which we publish."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Annotated

import typer

from pps.activities.release.signing import renew_all
from pps.activities.sites.diagnosis import Finding, Health, failure
from pps.adapters.packages.folders import publish
from pps.adapters.packages.openpgp import as_connection, keys_in, make_key, public_without
from pps.cli import output
from pps.cli.front import Front, front, group
from pps.config.base_models import parse_duration
from pps.domain.base.errors import ConfigurationError, RefusedError, RolloutError
from pps.domain.packages.repository_seals import KEYRING, PublicKey
from pps.domain.people.links import keys_link
from pps.services import SIGNING_CONNECTIONS, Services

app = group(
    """The key that signs the repositories which we publish: production, mirrors, release tests.

    \b
    Once:
      pps keys make --secret-file FILE    a new key; says where its secret belongs
      pps keys sign --unsigned            repositories that have no signature yet, as they are
      pps keys show                       fingerprints, and until when

    \b
    Another key, months before the first one ends:
      pps keys make --next --secret-file FILE    both are published, both sign
      pps keys retire FINGERPRINT                the first one goes, once sites have fetched both
    """
)
_LONGEST = timedelta(days=3650)


@app.command()
def make(
    ctx: typer.Context,
    secret_file: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="New file for the secret, readable by you alone: a line for the environment (AIRFLOW_CONN_...), or, "
            "if its name ends in .json, what `airflow connections import` reads.",
        ),
    ],
    name: Annotated[
        str, typer.Option(metavar="TEXT", help="Whose key it is; default: mail_from of service.yaml.")
    ] = "",
    valid: Annotated[str, typer.Option(metavar="DURATION", help="How long it is good for, e.g. 730d.")] = "1095d",
    following: Annotated[bool, typer.Option("--next", help="A second key, which will follow the present one.")] = False,
    as_json: output.Json = False,
) -> None:
    """Make a key that signs our repositories' indexes.

    The public key goes into pps-archive-keyring.asc in the configuration folder: it is published at /pps/keys, and our
    own programs check with it. The secret goes into FILE and nowhere else; nothing is overwritten. Put it into the
    Connection pps_signing (with --next: pps_signing_next), keep a copy offline, and delete FILE.
    """
    services = front(ctx).services
    connection = SIGNING_CONNECTIONS[1 if following else 0]
    try:
        span = parse_duration(valid)
    except ValueError as error:
        raise RefusedError("a new key", (f"--valid: {error}.",)) from error
    if not timedelta(days=1) <= span <= _LONGEST:
        raise RefusedError("a new key", ("It is valid for a day at least, and for ten years at most.",))
    before = _public(services)
    if before and not following:
        why = f"There is one already, {keys_in(before)[0].fingerprint}."
        raise RefusedError("a new key", (why,), "Make one that will follow it: pps keys make --next")
    if following and (not before or len(keys_in(before)) > 1):
        why = "There is none to follow." if not before else "There are two already."
        raise RefusedError("a second key", (why,), "Look at: pps keys show")
    whose = name.strip() or f"PPS repositories <{services.config.service.mail_from}>"
    if not whose.isprintable() or len(whose) > 200 or whose.startswith("-"):
        raise RefusedError(
            "a new key", ("Its name is one line of at most 200 characters, and does not begin with a dash.",)
        )
    with _new_file(secret_file) as file:
        made = make_key(whose, span)
        uri = as_connection(made.secret)
        if secret_file.suffix == ".json":
            # in this form it fits into Airflow's database, too
            json.dump({connection: uri}, file)
        else:
            file.write(f"AIRFLOW_CONN_{connection.upper()}={uri}\n")
        _write_public(services, before + made.public.encode())
    if as_json:
        return output.say_json({"fingerprint": made.key.fingerprint, "ends": made.key.ends, "connection": connection})
    how = (
        f"airflow connections import {secret_file}"
        if secret_file.suffix == ".json"
        else f"put the line of {secret_file} into the environment of Airflow (docs/production.md)"
    )
    return output.say(
        output.pairs(_rows(made.key)),
        "",
        f"The secret belongs in the Connection {connection}: {how}.",
        f"Keep a copy of {secret_file} offline, and delete it here.",
        f"The public key is in {services.signing_keyring}; sites find it at {_page(services)}.",
        "Then: pps doctor",
    )


@app.command()
def show(ctx: typer.Context, as_json: output.Json = False) -> None:
    """Show the keys that are published: fingerprint, whose, until when, and whether they sign."""
    services = front(ctx).services
    keys = keys_in(services.seal.public)
    try:
        signs = {key.fingerprint for key in services.seal.signers}
        said = ""
    except RolloutError as error:
        signs, said = set(), str(error)
    if as_json:
        return output.say_json([{**_described(key), "signs": key.fingerprint in signs} for key in keys])
    for key in keys:
        output.say(output.pairs([*_rows(key), ("signs", "yes" if key.fingerprint in signs else "no")]), "")
    return output.say(f"Sites find them at {_page(services)}.", *([said] if said else []))


@app.command()
def retire(
    ctx: typer.Context,
    fingerprint: Annotated[str, typer.Argument(metavar="FINGERPRINT", help="Fingerprint of the key that goes.")],
    as_json: output.Json = False,
) -> None:
    """Stop publishing a key. The other one must sign already, as pps_signing."""
    services = front(ctx).services
    public, wanted = services.seal.public, fingerprint.replace(" ", "").upper()
    known = [key.fingerprint for key in keys_in(public)]
    if wanted not in known:
        raise RefusedError("a key", (f"{fingerprint[:80]} is not published.",), "Look at: pps keys show")
    signs = [key.fingerprint for key in services.seal.signers]
    if wanted in signs:
        why = "It still signs."
        step = f"Put the other one into {SIGNING_CONNECTIONS[0]}, delete {SIGNING_CONNECTIONS[1]}, run: pps keys sign"
        raise RefusedError(f"key {wanted}", (why,), step)
    _write_public(services, public_without(public, wanted))
    if as_json:
        return output.say_json({"retired": wanted})
    return output.say(f"{wanted} is no longer published. Sites drop it when they fetch the keys again.")


@app.command()
def sign(
    ctx: typer.Context,
    unsigned: Annotated[
        bool,
        typer.Option(
            "--unsigned", help="Also sign indexes that have no signature: on your word that they are as they should be."
        ),
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Sign our repositories again where a signature has nearly expired, or other keys sign now.

    The nightly run does it, too. Nothing else in an index changes. An index with a signature that is not ours is never
    signed.
    """
    here = front(ctx)
    services = here.services
    done: tuple[str, ...] = ()
    if unsigned:
        now = here.now()
        done = renew_all(
            services.own_indexes(now),
            lambda own: services.seal.sign_as_it_is(own.root, own.repository, now, keep_release=own.lists_release),
        )
    done += tuple(place for place in services.renew_signatures(here.now()) if place not in done)
    if as_json:
        return output.say_json({"signed": done})
    return output.say(*([f"signed: {place}" for place in done] or ["All signatures are good for now."]))


def signing_findings(here: Front) -> Iterator[Finding]:
    """For `pps doctor`: is there a key, does it sign, until when."""
    services, subject = here.services, "signing key"
    try:
        policy = services.config.policies.signing
        signs = services.seal.signers
        sample = services.seal.signs_soundly()
    except RolloutError as error:
        yield failure(subject, error)
        return
    if not sample:
        yield Finding(subject, Health.FAIL, "signs, but its signature is not good.", "Look at: pps keys show")
        return
    for key in signs:
        yield _end_of(subject, key, here.now(), policy.key_ends_warning)
    yield from _index_findings(here)
    service = services.config.service
    if service.production_url is None:
        why = "is not set, so mails cannot tell sites where production's packages are."
        yield Finding("production_url", Health.WARN, why, "Set it; docs/production.md says how the folder is served.")
    if service.release_test_url is None and (services.config.folder / "pools.yaml").exists():
        why = "is not set, so the sites of release tests are told a folder of ours instead of an address."
        yield Finding("release_test_url", Health.WARN, why, "Set it; docs/production.md says how the folder is served.")
    if service.plain_http_because:
        why = f"sites may come without TLS: {service.plain_http_because}"
        yield Finding("plain_http_because", Health.WARN, why, "Serve what sites fetch by https.")


def _index_findings(here: Front) -> Iterator[Finding]:
    """Does what we publish carry our signature, and for long enough?"""
    services, subject = here.services, "signed indexes"
    try:
        found = [
            services.seal.problems(own.root, own.repository, if_any=True) for own in services.own_indexes(here.now())
        ]
    except RolloutError as error:
        yield failure(subject, error)
        return
    for problem in (problem for problems in found for problem in problems):
        yield Finding(subject, Health.FAIL, problem)
    if not any(found):
        yield Finding(subject, Health.OK, "everything that we have published carries our signature.")
    yield from _file_findings(here)


def _file_findings(here: Front) -> Iterator[Finding]:
    """Is what lies in our repositories what was published?"""
    subject = "published files"
    try:
        looked = here.services.not_as_published(here.now())
    except RolloutError as error:
        yield failure(subject, error)
        return
    for why in looked.not_seen:
        yield Finding(subject, Health.FAIL, f"could not be looked at: {why}", "Look at it again when it answers.")
    found = [m for m in looked.found if m.sha256]
    for misfit in found:  # an index is a finding above
        yield Finding(
            subject,
            Health.FAIL,
            f"{misfit.place} {misfit.why}",
            "Find out who changed it; restore it from the backup.",
        )
    if not found and not looked.not_seen:
        yield Finding(subject, Health.OK, "are what was published.")


def _end_of(subject: str, key: PublicKey, now: datetime, warn: timedelta) -> Finding:
    if key.revoked:
        return Finding(subject, Health.FAIL, f"{key.fingerprint} is revoked.", "Make another: pps keys make --next")
    if key.ends is None:
        return Finding(subject, Health.OK, f"signs as {key.fingerprint}; it does not expire.")
    until = f"{key.ends:%Y-%m-%d}"
    if key.ends <= now:
        return Finding(
            subject, Health.FAIL, f"{key.fingerprint} expired on {until}.", "Make another: pps keys make --next"
        )
    if key.ends <= now + warn:
        why = f"{key.fingerprint} expires on {until}."
        return Finding(subject, Health.WARN, why, "Make the next one, so that sites have time: pps keys make --next")
    return Finding(subject, Health.OK, f"signs as {key.fingerprint}, good until {until}.")


def _public(services: Services) -> bytes:
    try:
        return services.signing_keyring.read_bytes()
    except FileNotFoundError:
        return b""


def _write_public(services: Services, keys: bytes) -> None:
    try:
        publish(services.config.folder, KEYRING, keys)
    except OSError as error:
        where = str(services.signing_keyring)
        raise ConfigurationError(where, f"cannot be written ({error.strerror}).", "Make it writable.") from error


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[IO[str]]:
    """A new file that only its owner can read; gone again if what was to be written fails."""
    try:
        opened = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as error:
        raise RefusedError(str(path), ("It is there already.",), "Name a new file.") from error
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be written ({error.strerror}).", "Name another.") from error
    try:
        with os.fdopen(opened, "w") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _page(services: Services) -> str:
    return keys_link(services.config.service.public_url)


def _rows(key: PublicKey) -> list[tuple[str, object]]:
    return [
        ("key", key.name),
        ("fingerprint", key.spaced),
        ("good until", output.moment(key.ends) if key.ends else "it does not expire"),
    ]


def _described(key: PublicKey) -> dict[str, object]:
    return {"fingerprint": key.fingerprint, "name": key.name, "ends": key.ends, "revoked": key.revoked}
