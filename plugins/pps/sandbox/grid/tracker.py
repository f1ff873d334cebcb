"""The sandbox's patch tracker: a real Roundup with our schema, in the grid's own process."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from a2wsgi import WSGIMiddleware

from pps.adapters.trackers.roundup_home import SECRET_FILE, make_home

__all__ = ["SECRET_FILE", "tracker_app"]

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


def _settle(folder: Path) -> None:
    """Roundup sets the umask of the whole process, which makes sites' files as well; it shall set the one there is."""
    from roundup.configuration import CoreConfig

    umask = os.umask(0o022)
    os.umask(umask)
    config = CoreConfig(str(folder))
    config["UMASK"] = f"{umask:#o}"
    config["MAIL_DEBUG"] = str(folder / "mails-to-admin.txt")  # no server here takes them
    config.save(str(folder / "config.ini"))
