"""`pps facts`: is what is on record still what was recorded (docs/adr/0025)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pps.cli import output
from pps.cli.front import Front, front, group
from pps.cli.packages.mirrors import progress
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError, RolloutError
from pps.domain.record import chain
from pps.services import private_folder

app = group("The facts on record.")


#: At each look, this many of the chains whose heads are unchanged are read again: those read longest ago.
READ_AGAIN = 50


@dataclass(frozen=True)
class Look:
    """What `pps doctor` has seen of the chains."""

    note: Path | None
    """the file that says how far this account has verified each chain"""
    read: tuple[chain.VerifiedChain, ...]
    unchanged: int
    """chains that were not read: they end as they did when they were"""
    problem: str = ""
    """why nothing could be kept, or why what was kept is of no use: then everything was read"""

    @property
    def misfits(self) -> tuple[chain.VerifiedChain, ...]:
        """Where a fact does not fit."""
        return tuple(v for v in self.read if v.misfit)


def look_at_chains(here: Front) -> Look:
    """Verify what was recorded since this account looked last, and some of the rest (docs/adr/0025).

    The heads seen then are in a file of this account, which no login to the database reaches: against them it shows
    when an end was cut off, or a chain made anew. A fact that was changed in the middle of an old chain shows when the
    turn comes to that chain, or by `pps facts verify`.
    """
    facts, known, note, problem = here.services.facts, dict[str, chain.Head](), None, ""
    try:
        note = _note(here)
        known = _known(note)
    except (RolloutError, OSError) as error:
        problem = str(error)
    heads = facts.heads()
    not_read = [name for name, head in known.items() if heads.get(name) == head.digest][READ_AGAIN:]
    wanted = heads.keys() - set(not_read)
    read = [chain.verify(name, facts.links(name), known.get(name)) for name in heads if name in wanted]
    read += [chain.gone(head) for name, head in known.items() if name not in heads]
    if note is not None:
        # first what does not fit, so that it is read again each time until somebody has looked into it
        broken = [known[v.rollout] for v in read if v.misfit and v.rollout in known]
        good = [chain.Head(v.rollout, v.facts, v.head) for v in read if not v.misfit]
        kept = [*broken, *(known[name] for name in not_read), *good]
        try:
            _write(note, "".join(f"{head.line}\n" for head in kept))
        except ConfigurationError as error:
            problem = problem or str(error)
    return Look(note, tuple(read), len(not_read), problem)


def _note(here: Front) -> Path:
    """One for each database, by its address without the password."""
    services = here.services
    name = hashlib.sha256(f"{services.facts.address} {services.config.folder.resolve()}".encode()).hexdigest()[:16]
    return private_folder(services.cache, "verified") / f"{name}.heads"


@app.command()
def verify(
    ctx: typer.Context,
    rollout: Annotated[
        str, typer.Argument(metavar="[ROLLOUT]", help="Only this rollout (or dossier: patch-4711).")
    ] = "",
    heads: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Compare with the heads kept in FILE, then write the present ones.",
        ),
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Compute the hash of every fact again, and name the first of each rollout that does not fit.

    Each fact carries the hash of the one before it in its rollout, so a fact that was changed, removed or inserted
    shows. A rollout whose end was cut off, or that was made anew as a whole, shows only against heads that are kept
    elsewhere: --heads FILE, in a place where those who can write to the database cannot write. A FILE that is not
    there yet is written. Exit code 1 when anything does not fit; FILE then stays as it is.
    """
    if rollout and heads:
        raise ConfigurationError("--heads", "is for all rollouts.", "Leave ROLLOUT out.")
    here = front(ctx)
    known = _known(heads)
    chains = list(here.services.facts.chains(rollout))
    if rollout and not chains:
        next_step = "Names are listed by: pps rollout list."
        raise NotYetAllowedError(f"rollout {rollout[:80]!r}", "is not on record.", next_step)
    found = []
    with progress(quiet=as_json) as told:
        for number, (name, links) in enumerate(chains, 1):
            found.append(chain.verify(name, links, known.get(name)))
            told(number, len(chains), name)
    names = {name for name, _ in chains}
    found += [chain.gone(head) for name, head in sorted(known.items()) if name not in names]
    misfits = [v for v in found if v.misfit]
    if heads and not misfits:
        _write(heads, chain.heads_text(found))
    if as_json:
        output.say_json({"rollouts": found, "facts": sum(v.facts for v in found), "fits": not misfits})
    else:
        for one in misfits:
            output.say(f"{one.rollout}: {one.misfit}")
        compared = f" {len(known)} heads were compared." if known else ""
        what = f"{sum(v.facts for v in found)} facts of {len(found)} records"
        output.say(f"{what}: {f'{len(misfits)} do not fit' if misfits else 'all fit'}.{compared}")
    if misfits:
        raise typer.Exit(1)


def _known(path: Path | None) -> dict[str, chain.Head]:
    if path is None or not path.exists():
        return {}
    try:
        return chain.parse_heads(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"cannot be read ({error}).", "Take another copy.") from error


def _write(path: Path, text: str) -> None:
    """As a whole: a file that is cut short would say that rollouts are new."""
    from pps.adapters.packages.folders import aside

    try:
        with aside(path) as part, part.open("x", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be written ({error}).", "Name another file.") from error
