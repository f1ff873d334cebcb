"""`pps provider`: a provider's desk in the terminal: look at a release, submit it, see what was found.

All of it goes through Airflow, which knows who says it; so a provider needs no access to our database.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from pps.cli import output
from pps.cli.front import Front, front, group
from pps.config.egi_products import is_egi_product, releases_of_product
from pps.config.loader import read_yaml
from pps.domain.base.errors import RefusedError, ServiceError

app = group("A provider's desk: submit a release, and see what was found in it.")

File = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The release, as YAML or JSON.")
]
Release = Annotated[str, typer.Argument(metavar="PRODUCT/VERSION", help="For example glite-WN/3.1.24.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for what is found, or only send it.")]
_PAUSE_S = 2.0
_LONGEST = timedelta(hours=2)
_ENTERING = 5
"""times that an accepted release is asked for again: the tracker may be away, and then it takes an hour"""
_ABOUT_FILE = """The file says what is released:

    \b
      metapackage: glite-WN
      version: 3.1.24
      title: Clients that renew proxies in time
      platforms: [debian12-amd64]
      repository: {kind: apt, url: https://repository.example.org/grid,
                   suite: stable, components: [main]}
      packages:
        - {name: voms-clients, version: 2.1.0-1, arch: amd64}
      externals: []                  # what it brings along
      release_notes: |               # Markdown; names every new variable
        Proxies are renewed while a job runs.
      bugs:
        - {number: 101, title: No IPv6, severity: major, originator: ada@example.org}
      test_cases: [{name: renew, title: A proxy is renewed while a job runs}]
      cves: [CVE-2026-12345 critical]
      vex: [CVE-2026-12346 not_affected vulnerable_code_not_present]
      depends_on: [4711]             # patches that must be in production first

    docs/provider.md names all fields, and what each finding means. A product as EGI's
    repositories describe it (JSON with `targets`) is taken as well."""


@app.command(
    help=f"Have a release looked at, and nothing else: what would be found if it were submitted.\n\n    {_ABOUT_FILE}"
)
def check(ctx: typer.Context, file: File, wait: Wait = True, as_json: output.Json = False) -> None:
    """See `help` above: it names the fields of the file."""
    _send(ctx, file, submit=False, wait=wait, as_json=as_json)


@app.command(
    help="Submit a release: it is looked at, and enters the tracker if no fault is open.\n\n"
    "    A corrected release of the same version stays the same patch. The exit code is 1 if it was waited for\n"
    "    and is refused.\n\n"
    f"    {_ABOUT_FILE}"
)
def submit(ctx: typer.Context, file: File, wait: Wait = True, as_json: output.Json = False) -> None:
    """See `help` above: it names the fields of the file."""
    _send(ctx, file, submit=True, wait=wait, as_json=as_json)


@app.command()
def releases(ctx: typer.Context, as_json: output.Json = False) -> None:
    """List your releases, the one that was sent last first; those who decide on releases see all."""
    found = front(ctx).get("provider/releases", {}, about="releases")
    if as_json:
        return output.say_json(found)
    if not found["releases"] and not found["others"]:
        return output.say("No release was submitted yet. Submit one: pps provider submit --help")
    rows = [(r["release"], r["state"], r["patch"] or "-", _where(r)) for r in found["releases"]]
    rows += [(f"{o['metapackage']}/{o['software_version']}", "-", o["patch"], o["answer"]) for o in found["others"]]
    return output.say(output.table(("RELEASE", "STATE", "PATCH", "WHY IT IS STILL HERE"), rows))


@app.command()
def show(ctx: typer.Context, release: Release, as_json: output.Json = False) -> None:
    """Show a release: what was found, what of it was waived, by whom and why."""
    found = _get(front(ctx), release)
    return output.say_json(found) if as_json else _show(found)


@app.command()
def waive(
    ctx: typer.Context,
    release: Release,
    finding: Annotated[str, typer.Argument(metavar="KEY", help="The finding's; pps provider show lists them.")],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="A sentence that says why; others read it.", show_default=False)
    ],
    as_json: output.Json = False,
) -> None:
    """Let a release go on with a fault; by the Release Manager, and for exactly what was found.

    It stays on record, and is shown as waived, by whom and why. The provider then submits the release again.
    """
    said = {"finding": finding, "reason": reason}
    found = front(ctx).post(f"provider/releases/{_place(release)}/waivers", said, about=release)
    return output.say_json(found) if as_json else _show(found)


@app.command()
def upload(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False)],
    provider: Annotated[str, typer.Option(metavar="NAME", help="Of people.yaml, if you speak for several.")] = "",
    as_json: output.Json = False,
) -> None:
    """Upload .deb or .rpm files into a repository of ours, for those who have none; prints what a release says of them.

    The same file again changes nothing; another one with the same name and version is refused.
    """
    here = front(ctx)
    query = {"provider": provider} if provider else {}
    found = [here.put("provider/uploads", file, query, about=file.name) for file in files]
    if as_json:
        return output.say_json(found)
    for repository in {json.dumps(f["repository"]): f["repository"] for f in found}.values():
        packages = [f["package"] for f in found if f["repository"] == repository]
        output.say(f"repository: {json.dumps(repository)}", "packages:", *(f"  - {json.dumps(p)}" for p in packages))
    return None


Party = Annotated[str, typer.Argument(metavar="PARTY", help="site:PIC or vo:atlas; one that you speak for.")]
Patch = Annotated[int, typer.Argument(metavar="PATCH", min=1, help="Number of the patch.")]


@app.command()
def adopters(ctx: typer.Context, as_json: output.Json = False) -> None:
    """Show who tries which release early, who could, and where there are too few."""
    return _show_adopters(front(ctx).get("provider/adopters", {}, about="early adopters"), as_json=as_json)


@app.command()
def offer(
    ctx: typer.Context,
    party: Party,
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="For example glite-WN.")],
    slots: Annotated[int, typer.Argument(metavar="SLOTS", min=0, max=9, help="At a time; 0 takes the offer back.")],
    as_json: output.Json = False,
) -> None:
    """Offer to try a product's releases early, so many at a time; as an administrator of the site, or for the VO."""
    _say(ctx, {"do": "offer", "party": party, "product": product, "slots": slots}, as_json=as_json)


@app.command()
def adopt(
    ctx: typer.Context,
    party: Party,
    patch: Patch,
    until: Annotated[str, typer.Option(metavar="DATE", help="When it will have been tried: 2026-03-08.")],
    as_json: output.Json = False,
) -> None:
    """Accept a release, with the date by which it will have been tried."""
    _say(ctx, {"do": "accept", "party": party, "patch": patch, "until": until}, as_json=as_json)


@app.command()
def report(
    ctx: typer.Context,
    party: Party,
    patch: Patch,
    outcome: Annotated[str, typer.Argument(metavar="works|problem")],
    text: Annotated[str, typer.Option(metavar="TEXT", help="What its provider should know; Markdown.")] = "",
    as_json: output.Json = False,
) -> None:
    """Report on a release. What is on record of it there (receipts, probes) is put beside what you say."""
    said = {"do": "report", "party": party, "patch": patch, "outcome": outcome, "text": text}
    _say(ctx, said, as_json=as_json)


def _say(ctx: typer.Context, said: dict[str, Any], *, as_json: bool) -> None:
    _show_adopters(front(ctx).post("provider/adopters", said, about=str(said["party"])), as_json=as_json)


def _show_adopters(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return output.say_json(found)
    rows = [
        (a["party"], f"{r['product']} {r['version']}", r["patch"], a["outcome"] or f"tries it until {a['until']}")
        for r in found["releases"]
        for a in r["adopters"]
    ]
    offers = [(o["party"], o["product"], o["slots"], o["free"]) for o in found["offers"]]
    output.say(*(f"{r['product']} {r['version']}: {r['too_few']}" for r in found["releases"] if r["too_few"]))
    output.say("", output.table(("WHO", "RELEASE", "PATCH", "STATE"), rows) if rows else "Nobody tries a release now.")
    return output.say(
        "", output.table(("WHO", "PRODUCT", "SLOTS", "FREE"), offers) if offers else "Nobody offers a slot."
    )


def _send(ctx: typer.Context, file: Path, *, submit: bool, wait: bool, as_json: bool) -> None:
    here = front(ctx)
    document = read_yaml(file)
    if not isinstance(document, dict):
        raise RefusedError(str(file), ("It is no mapping of fields.",), "See: pps provider submit --help")
    # a date, which JSON does not have, is for the door to refuse
    document = json.loads(json.dumps(document, default=str))
    several = releases_of_product(document) if is_egi_product(document) else (document,)
    ended = []
    for one in several:
        found = here.post("provider/releases", {"document": one, "submit": submit}, about=file.name)
        ended.append(_ended(here, found, tell=not as_json) if wait else found)
        if not as_json:
            _show(ended[-1])
    if as_json:
        output.say_json(ended[0] if len(ended) == 1 else {"releases": ended})
    # without waiting, a look that happens to have ended already must not make another exit code than one that has not
    if wait and any(_is_bad(found) for found in ended):
        raise typer.Exit(1)


def _is_bad(found: dict[str, Any]) -> bool:
    return found["state"] in ("refused", "broken off") or bool(found["state"] == "checked" and found["open_faults"])


def _ended(here: Front, found: dict[str, Any], *, tell: bool) -> dict[str, Any]:
    if tell and found["state"] == "looking":
        output.say(f"{found['release']} is being looked at; that takes a while. Ctrl-C ends the waiting, not the look.")
    began, patience = here.now(), _ENTERING
    while found["state"] == "looking" or (found["state"] == "accepted" and patience):
        patience -= found["state"] == "accepted"
        if here.now() - began > _LONGEST:
            raise ServiceError(found["release"], "is looked at for hours.", "See: pps provider show")
        here.pause(_PAUSE_S)
        found = _get(here, found["release"])
    return found


def _get(here: Front, release: str) -> dict[str, Any]:
    return here.get(f"provider/releases/{_place(release)}", {}, about=release)


def _where(release: dict[str, Any]) -> str:
    """Once it is in the tracker, what counts is why it is still here."""
    known = release["standing"]
    return str(known["answer"]) if known and release["state"] == "entered" else str(release["sentence"])


def _place(release: str) -> str:
    product, slash, version = release.partition("/")
    if not (product and slash and version) or "/" in version:
        raise typer.BadParameter("Name it as PRODUCT/VERSION, e.g. glite-WN/3.1.24.")
    return release


def _show(found: dict[str, Any]) -> None:
    output.say(
        output.pairs(
            [
                ("release", found["release"]),
                ("provider", found["provider"]),
                ("patch", found["patch"] or "-"),
                ("look", found["look"]),
                ("state", found["state"]),
                ("answer", found["sentence"]),
            ]
        )
    )
    if known := found.get("standing"):
        output.say("", f"Why it is still here: {known['answer']}")
        output.say(*(f"- {trouble['sentence']}" for trouble in known["troubles"]))
    if found["findings"]:
        rows = [(_weight(f), f["about"] or "-", _words(f), f["key"]) for f in found["findings"]]
        output.say("", output.table(("WEIGHT", "ABOUT", "IN WORDS", "KEY"), rows))
    if found["more"]:
        output.say(f"And {found['more']} more.")


def _weight(finding: dict[str, Any]) -> str:
    return "waived" if finding["waived"] else str(finding["weight"])


def _words(finding: dict[str, Any]) -> str:
    words = str(finding["sentence"])
    if waived := finding["waived"]:
        return f"{words} Waived by {waived['user']} ({waived['role']}): {waived['reason']}"
    return f"{words} {finding['remedy']}".strip()
