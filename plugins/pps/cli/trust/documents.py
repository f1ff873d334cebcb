"""`pps trust`: what people sign for sites with a kit, on machines of their own, also without a network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pps.activities.trust.words import in_words
from pps.adapters.trust.signatures import namespace_of, public_key, sign, those_who_signed
from pps.cli import output
from pps.cli.front import group
from pps.domain.base.errors import PackageError, RefusedError
from pps.domain.sites.site import Scheme
from pps.domain.trust.keys import Root, Signer, SignerRole, reasons_against_signatures, reasons_against_successor
from pps.domain.trust.signed import Signature, Signed, envelope, opened

app = group(
    """Keys and signatures that sites with a kit believe (docs/kit.md, docs/keys.md). Needs no network and no login.

    \b
    Once, by three people with keys that are kept offline:
      pps trust keys --root a=alice=a.pub ... --out root.1
      pps trust sign root.1 --as a --key a
    Somebody comes, goes, or loses a key:
      pps trust keys --after root.1 --drop rm --revoke rm.pub --signer new=release-manager=bob=bob.pub --out root.2
      pps trust sign root.2 --as a --key a --keys root.1       two of three, each on a machine of their own
    Look:
      pps trust show FILE
      pps trust verify FILE --keys root.1
    """
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A document, with the signatures that it has so far.")]
Keys = Annotated[
    Path | None, typer.Option("--keys", metavar="FILE", help="The keys in force; not needed for the very first ones.")
]


@app.command()
def keys(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="New file for the list.")],
    after: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The keys in force; what is not named otherwise stays.")
    ] = None,
    scheme: Annotated[
        Scheme, typer.Option(help="How signatures are made and checked; of the first list.")
    ] = Scheme.SSH,
    root: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PERSON=FILE", help="A root key, kept offline.")
    ] = None,
    signer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ROLE=PERSON=FILE", help=f"A signer; ROLE: {' or '.join(SignerRole)}."),
    ] = None,
    current: Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help="The online key.")] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A name that is no longer there.")] = None,
    revoke: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A public key that was lost.")] = None,
) -> None:
    """Write a list of keys: the first one, or the one that follows. It is nothing before two root keys signed it."""
    before = _root(after) if after else None
    gone = set(drop or ())
    if unknown := gone - ({k.name for k in _all(before)} if before else set()):
        raise RefusedError("list of keys", (f"{min(unknown)} is not in {after or 'a list before'}.",))
    lost = {public_key(path) for path in revoke or ()}

    def kept(have: Sequence[Signer], new: Iterable[Signer]) -> tuple[Signer, ...]:
        return (*(k for k in have if k.name not in gone and k.key not in lost), *new)

    roots = (Signer(name, "root", person, public_key(Path(file))) for name, person, file in _parts(root, 3))
    signers = (Signer(name, role, person, public_key(Path(f))) for name, role, person, f in _parts(signer, 4))
    online = (Signer(name, "current", name, public_key(Path(file))) for name, file in _parts(current, 2))
    made = Root(
        before.number + 1 if before else 1,
        datetime.now(UTC).replace(microsecond=0),
        before.scheme if before else scheme,
        kept(before.roots if before else (), roots),
        kept(before.signers if before else (), signers),
        kept(before.current if before else (), online),
        tuple(sorted({*(before.revoked if before else ()), *lost})),
    )
    if out.exists():
        raise RefusedError(str(out), ("It is there already.",), "Name a new file.")
    out.write_text(envelope([Signed(made.text)]))
    output.say(
        *in_words(made.text, before), f"Written to {out}. Two of those with a root key sign it: pps trust sign {out}"
    )


@app.command("sign")
def add_signature(
    file: File,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Your name in the list of keys.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Your key; of an agent or a FIDO key the public half.")],
    keys_in_force: Keys = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: you have read it.")] = False,
) -> None:
    """Read a document in words, and add your signature to it."""
    signed = _document(file)
    root = _root_for(signed, keys_in_force)
    output.say(*in_words(signed.document, root), "")
    if not yes:
        typer.confirm("Do you sign this?", abort=True)
    made = sign(signed.document, name, key, root.scheme)
    others = tuple(s for s in signed.signatures if s.signer != name)
    new = Signed(signed.document, (*others, made))
    hold, not_so = those_who_signed(new, root)
    if name not in {s.name for s in hold}:
        raise RefusedError(f"signature of {name}", not_so[-1:], "Is it your key, and your name in the list of keys?")
    file.write_text(envelope([new]))
    output.say(f"Signed as {name}.", *_enough(new, root, hold))


@app.command()
def verify(file: File, keys_in_force: Keys = None, as_json: output.Json = False) -> None:
    """Who has signed a document, and is that enough for the sites? Exit code 1 if it is not."""
    signed = _document(file)
    root = _root_for(signed, keys_in_force)
    hold, not_so = those_who_signed(signed, root)
    missing = _missing(signed, hold)
    if as_json:
        output.say_json({"signed_by": [s.name for s in hold], "others": not_so, "missing": missing})
    else:
        output.say(
            *(f"Signed by {s.person} as {s.role} ({s.name})." for s in hold), *not_so, *_enough(signed, root, hold)
        )
    if missing:
        raise typer.Exit(1)


@app.command()
def show(file: File) -> None:
    """A document in words."""
    signed = _document(file)
    digest = hashlib.sha256(signed.document.encode()).hexdigest()
    output.say(
        *in_words(signed.document), f"sha256 {digest}", f"Signed by: {_names(signed.signatures)} (not checked here)."
    )


def _missing(signed: Signed, hold: Sequence[Signer]) -> tuple[str, ...]:
    kind = namespace_of(signed.document)
    if kind == "pps-statement":
        return reasons_against_signatures(hold)
    if kind == "pps-root":
        return reasons_against_successor(hold)
    return () if hold else ("The online key must sign.",)


def _enough(signed: Signed, root: Root, hold: Sequence[Signer]) -> tuple[str, ...]:
    return _missing(signed, hold) or (f"That is enough for sites that have keys number {root.number}.",)


def _root_for(signed: Signed, keys_in_force: Path | None) -> Root:
    """The keys that a document is judged by: for the very first list of keys, that list."""
    if keys_in_force is not None:
        return _root(keys_in_force)
    if signed.document.startswith("pps-root 1\nnumber 1\n"):
        return Root.parse(signed.document)
    raise RefusedError("keys in force", ("They are not named.",), "Name them: --keys FILE")


def _document(file: Path) -> Signed:
    try:
        text = file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(str(file), "cannot be read as a document.", "Name another file.") from error
    found = opened(text)
    if len(found) != 1:
        raise PackageError(str(file), f"holds {len(found)} documents.", "Name a file with one.")
    return found[0]


def _root(file: Path) -> Root:
    return Root.parse(_document(file).document)


def _all(root: Root) -> tuple[Signer, ...]:
    return (*root.roots, *root.signers, *root.current)


def _parts(values: Sequence[str] | None, count: int) -> Iterable[list[str]]:
    for value in values or ():
        parts = value.split("=", count - 1)
        if len(parts) != count or not all(parts):
            raise RefusedError(f"{value[:80]!r}", (f"It is not {count} parts with = between them.",), "See --help.")
        yield parts


def _names(signatures: Iterable[Signature]) -> str:
    return ", ".join(s.signer for s in signatures) or "nobody"


def keys_of(file: Path) -> Root:
    """The list of keys in a file, with its signatures checked by its own root keys if it is the first one."""
    signed = _document(file)
    root = Root.parse(signed.document)
    if root.number == 1:
        hold, _ = those_who_signed(signed, root)
        if missing := _missing(signed, hold):
            raise RefusedError(str(file), missing, f"Sign it: pps trust sign {file}")
    return root
