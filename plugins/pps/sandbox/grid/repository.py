"""The package repositories of the sandbox, read-only over HTTP: the provider's, and our mirrors for pilots."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles


def repository_app(folder: Path, mirror: Path) -> Starlette:
    """Serve the files below `folder`, and those below `mirror` as `/mirror/`: GET and HEAD of regular files only.

    No listing, no index pages; neither `..` nor a symbolic link leads out of the folder (StaticFiles resolves
    the path before it compares).
    """
    places = {"/mirror": mirror, "/": folder}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    files = {url: StaticFiles(directory=place, html=False, follow_symlink=False) for url, place in places.items()}
    return Starlette(routes=[Mount(url, app) for url, app in files.items()])
