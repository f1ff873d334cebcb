"""Whatever a task reads of what we keep, it reads where somebody hears of a difference (docs/adr/0026)."""

from __future__ import annotations

import ast
from pathlib import Path

import pps.orchestration
import pps.workflow

#: Doors of `Services` behind which lies what we keep; reading it may raise `TamperedError`.
KEPT = {"artefacts", "mirrors", "own_repositories", "production", "production_packages", "production_repository"}
#: Functions that read a rollout's tarball off the record, and refuse a record without digests.
READERS = {"tarball_on_record", "tarball_of", "whole_tarball_of"}
#: Where nothing that is kept is read, or somebody is told in another way.
OTHERWISE = {
    ("clients.py", "_night"): "a night, or another try, has an alarm of its own",
    ("meetings.py", "tell_end"): "asks for an address only",
}


def _unwatched(path: Path) -> set[tuple[str, str]]:
    """(file, function) of each access to what is kept that no `with watched(...)` is around."""
    found: set[tuple[str, str]] = set()

    def walk(node: ast.AST, function: str, watched: bool) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not function:
            function = node.name
        if isinstance(node, ast.With) and any("watched(" in ast.unparse(item) for item in node.items):
            watched = True
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        of_services = isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "services"
        if not watched and ((of_services and name in KEPT) or name in READERS):
            found.add((path.name, function))
        for child in ast.iter_child_nodes(node):
            walk(child, function, watched)

    walk(ast.parse(path.read_text()), "", False)
    return found


def test_every_task_that_reads_what_we_keep_is_watched() -> None:
    files = [p for room in (pps.orchestration, pps.workflow) for p in sorted(Path(room.__file__).parent.rglob("*.py"))]
    unwatched = set().union(*map(_unwatched, files))
    assert unwatched == set(OTHERWISE)
