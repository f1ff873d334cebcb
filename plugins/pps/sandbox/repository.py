"""The provider's package repository: a folder with an APT and a YUM layout, read-only over HTTP."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles


def repository_app(folder: Path) -> Starlette:
    """Serve the files below `folder`: GET and HEAD of regular files, nothing else.

    No listing, no index pages; neither `..` nor a symbolic link leads out of the folder (StaticFiles resolves
    the path before it compares).
    """
    folder.mkdir(parents=True, exist_ok=True)
    return Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=False, follow_symlink=False))])
