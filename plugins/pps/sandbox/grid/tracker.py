"""The sandbox's patch tracker: a real Roundup with our schema, in the grid's own process."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from a2wsgi import WSGIMiddleware

from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.roundup import RoundupTracker
from pps.adapters.trackers.roundup_home import SECRET_FILE, make_home
from pps.config.patch_documents import parse_patch
from pps.config.tracker_models import TrackerFile, TrackerKind

__all__ = ["SECRET_FILE", "take_over", "tracker_app"]

#: config/tracker/ of this checkout.
_SOURCE = Path(__file__).resolve().parents[4] / "config" / "tracker"
# a sandbox that loses power begins anew; the disk need not hear of every comment at once
_QUICK = 'def init(db):\n    """Of the sandbox only."""\n    db.sql("pragma synchronous=off")\n'


def tracker_app(folder: Path, url: str) -> Any:
    """The tracker that keeps its data in `folder`, as an ASGI application; made at the first call."""
    logging.getLogger("roundup").setLevel(logging.ERROR)
    make_home(folder, url, _SOURCE, mail_domain="example.org")
    (folder / "detectors" / "sandbox.py").write_text(_QUICK)
    _settle(folder)
    from roundup.cgi.wsgi_handler import RequestDispatcher

    return WSGIMiddleware(RequestDispatcher(str(folder)), workers=8)


def take_over(patches: Path, url: str, secret_file: Path) -> None:
    """Enter the patches of a sandbox that was made when its tracker was another one, each a file; once.

    Args:
        patches: folder of those files, of which there may be none.
        url: where the tracker answers.
    """
    if not patches.is_dir():
        return
    secret = Secret.of(secret_file.read_text(encoding="utf-8").strip())
    tracker = RoundupTracker(TrackerFile(kind=TrackerKind.ROUNDUP, url=url), secret)
    for file in sorted(patches.glob("[0-9]*.json")):
        tracker.enter(parse_patch(json.loads(file.read_text(encoding="utf-8"))["patch"]))
    patches.rename(patches.with_name("patches-taken-over"))


def _settle(folder: Path) -> None:
    """Roundup sets the umask of the whole process, which makes sites' files as well; it shall set the one there is."""
    from roundup.configuration import CoreConfig

    umask = os.umask(0o022)
    os.umask(umask)
    config = CoreConfig(str(folder))
    config["UMASK"] = f"{umask:#o}"
    config["MAIL_DEBUG"] = str(folder / "mails-to-admin.txt")  # no server here takes them
    config.save(str(folder / "config.ini"))
