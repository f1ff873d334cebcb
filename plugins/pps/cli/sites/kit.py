"""`pps sites kit`: what a site's root installs, so that the site verifies itself what comes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from pps.activities.trust.kit import Accounts, Centre, Fetch, Place, Policy, kit_files, kit_tar
from pps.adapters.trust.signatures import public_key
from pps.cli import output
from pps.cli.front import front
from pps.cli.trust.documents import keys_of


def make_kit(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SITE", help="A site of the registry.")],
    keys: Annotated[Path, typer.Option(metavar="FILE", help="The keys in force (pps trust keys).")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Public key that distribution logs in with.")],
    product: Annotated[list[str], typer.Option(metavar="NAME", help="A product that the site wants, e.g. glite-WN.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; default: pps-kit-SITE.tar.")] = None,
    vo: Annotated[str, typer.Option(help="The VO whose tags announce previews.")] = "ops",
    address: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="NETWORK", help="Where distribution comes from; default: anywhere."),
    ] = None,
    fetch_from: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The site fetches by itself, from here or any mirror of it; default: no."),
    ] = None,
    switch: Annotated[str, typer.Option(help="sudo; or none: one account for all, with less defence.")] = "sudo",
    as_json: output.Json = False,
) -> None:
    """Make the kit of a site: a tar for its root. It holds no secret.

    Send it by any way, and its digest, and that of the keys, by another one: what is in etc/root decides what may be
    installed there from then on.
    """
    config = front(ctx).services.config
    site = config.site(name)
    root = keys_of(keys)
    centre = Centre(root, public_key(key).replace(",", " ", 1), vo, tuple(address or ()))
    report = f"{config.service.public_url.rstrip('/')}/pps/api/v1/sites/{site.name}/receipts"
    place_there = Place(Accounts(switch=switch), fetch=Fetch(fetch_from, report=report) if fetch_from else None)
    files = kit_files(site, [Policy(p) for p in product], centre, place_there)
    content = kit_tar(files)
    place = out or Path(f"pps-kit-{site.name}.tar")
    place.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    keys_digest = hashlib.sha256(root.text.encode()).hexdigest()
    if as_json:
        return output.say_json({"file": str(place), "sha256": digest, "keys": keys_digest, "files": sorted(files)})
    rows = [
        ("kit", place),
        ("sha256", digest),
        ("keys", f"number {root.number}, sha256 {keys_digest}"),
        ("products", ", ".join(product)),
    ]
    return output.say(
        output.pairs(rows),
        "",
        f"For the root of {site.name}:",
        f"  tar -xf {place.name}",
        "  read pps-kit/README",
        "  sh pps-kit/bin/pps-kit-install --dry-run",
        "Tell them both digests by another way than the one that the kit takes.",
        *([f"With what it reports what it has fetched: pps sites token {site.name}"] if fetch_from else []),
    )
