"""`pps sign`: a Release Manager or PPS Coordinator signs what sites with a kit may do, on a machine of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pps.activities.clients.signing import ACTIONS, SIGNED
from pps.activities.trust.words import changes, contents, in_words
from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.adapters.trust.signatures import sign as sign_document
from pps.adapters.trust.signatures import those_who_signed
from pps.cli import output
from pps.cli.front import Front, front
from pps.cli.people import answering
from pps.cli.trust.documents import keys_of
from pps.domain.base.errors import RefusedError, TamperedError
from pps.domain.trust.keys import Root
from pps.domain.trust.signed import Signature, Signed, envelope
from pps.domain.trust.statement import FIRST, Action, Statement
from pps.workflow.answers import Standing


def sign(
    ctx: typer.Context,
    rollout: Annotated[str, typer.Argument(metavar="ROLLOUT", help="The rollout; pps rollout list shows them.")],
    name: Annotated[list[str], typer.Option("--as", metavar="NAME", help="Your name in the list of keys.")],
    key: Annotated[
        list[Path], typer.Option(metavar="FILE", help="Your key; of an agent or a FIDO key the public half.")
    ],
    keys: Annotated[list[Path], typer.Option(metavar="FILE", help="The keys in force, root.N, as you have them.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the signatures there, and send nothing.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: you have read it.")] = False,
    dry_run: output.DryRun = False,
    as_json: output.Json = False,
) -> None:
    """Read in words what sites with a kit would be allowed, sign it, and answer the question that waits for you.

    What is shown was compared with what you sign: packages by the MANIFEST that the statement names, changes by the
    statement that it follows. Where sites use ssh and openssl both, give --as, --key and --keys twice.

    \b
      pps sign bc-client-4711-1 --as rm --key ~/.ssh/id_ed25519.pub --keys root.2
    """
    here = front(ctx)
    if not len(name) == len(key) == len(keys):
        raise RefusedError("pps sign", ("--as, --key and --keys do not come equally often.",), "Give each once.")
    mine = [(one, file, keys_of(path)) for one, file, path in zip(name, key, keys, strict=True)]
    wanted = here.get(f"rollouts/{rollout}/statements", {}, about=rollout)["statements"]
    if not wanted:
        why = "Nothing of it is to be signed: no site with a kit is planned, or another preview has followed."
        raise RefusedError(rollout, (why,), f"Look at: pps rollout show {rollout}")
    read = [_read(said) for said in wanted]
    if not as_json:
        for said, (statement, _) in zip(wanted, read, strict=True):
            output.say(*_in_words(said, statement), "")
    if dry_run:
        return output.say_json(wanted) if as_json else None
    if not yes:
        typer.confirm("Do you sign this?", abort=True)
    text = envelope(_signed(statement, mine) for statement, _ in read)
    if out is not None:
        out.write_text(text, encoding="ascii")
        return output.say(f"Written to {out}; nothing was sent.")
    return _send(here, rollout, text, as_json=as_json)


def _read(said: Mapping[str, Any]) -> tuple[Statement, Statement | None]:
    """The statement and the one that it follows, as it names it itself; never as somebody on the way says."""
    statement = Statement.parse(said["document"])
    before = Statement.parse(said["before"]) if said["before"] else None
    if statement.previous != (before.digest if before else FIRST):
        raise TamperedError(
            f"{statement.what}, statement {statement.sequence}",
            "follows another statement than the one that came with it.",
            "Do not sign. Tell the PPS coordination.",
        )
    return statement, before


def _in_words(said: Mapping[str, Any], statement: Statement) -> list[str]:
    _, before = _read(said)
    lines = in_words(statement.text)
    if not said["manifest"]:
        return [*lines, "  Its MANIFEST is not in the artefact store: what is in it cannot be shown."]
    packages = contents(statement, said["manifest"])
    lines += ["Packages, by the MANIFEST that it names:", *(f"  {package}" for package in packages)]
    if before is not None and said["manifest_before"] and statement.action is Action.INSTALL:
        lines += [f"Since statement {before.sequence}, {before.action} {before.preview}:"]
        lines += changes(packages, contents(before, said["manifest_before"]))
    return [*lines, f"Sites with a kit: {', '.join(said['sites']) or 'none'} (by the registry)."]


def _signed(statement: Statement, mine: Sequence[tuple[str, Path, Root]]) -> Signed:
    made = list[Signature]()
    for name, key, root in mine:
        signature = sign_document(statement.text, name, key, root.scheme)
        hold, not_so = those_who_signed(Signed(statement.text, (signature,)), root)
        if not hold:
            raise RefusedError(f"signature of {name}", tuple(not_so), "Is it your key, and your name in the list?")
        made.append(signature)
    return Signed(statement.text, tuple(made))


def _send(here: Front, rollout: str, text: str, *, as_json: bool) -> None:
    """Answer the question if it waits; else hand them in beside it."""
    question = _question(here, rollout)
    if question is not None:
        verdict = answering.outcome(here, question, SIGNED, {"signatures": text, "remarks": None}, wait=True)
        if verdict.standing is Standing.NOT_TAKEN:
            raise RefusedError(question.subject, ("Not taken:", *verdict.reasons))
        said = answering.word(verdict)
    else:
        taken = here.post(f"rollouts/{rollout}/signatures", {"signatures": text}, about=rollout)
        said = f"On record: signed by {taken['signer']} as {taken['role']}."
    left = [
        reason
        for it in here.get(f"rollouts/{rollout}/statements", {}, about=rollout)["statements"]
        for scheme in it["schemes"].values()
        for reason in scheme["missing"]
    ]
    if as_json:
        return output.say_json({"rollout": rollout, "said": said, "missing": left})
    return output.say(said, *(dict.fromkeys(left) or ("It has all the signatures that sites want.",)))


def _question(here: Front, rollout: str) -> AirflowQuestion | None:
    waiting = here.airflow.questions()
    known = answering.on_record(here, waiting)
    for question in waiting:
        said = known.get(answering.place_of(question), {})
        if said.get("rollout") == rollout and said.get("step") in ACTIONS and said.get("mine"):
            return question
    return None
