"""Looks at the public pages once when serving begins, so that no reader waits for the first look at everything.

That look reads all open rollouts, translates the templates and finds places for the dots of the map; what is kept of it
serves the readers.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message

_log = logging.getLogger(__name__)
#: path and query; one of each template that shows all rollouts
_PAGES = (("/home", ""), ("/map", ""), ("/map", "view=gridmap"), ("/map", "view=table"), ("/bulletin", ""))


async def at_pages(app: ASGIApp) -> None:
    """Ask for each page, as a browser would.

    A page that cannot be made, e.g. because the database is away, is no reason not to serve: whoever asks next is told.
    """
    for path, query in _PAGES:
        statuses: list[int] = []

        async def answering(message: Message, statuses: list[int] = statuses) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        try:
            await app(_request(path, query), _nothing, answering)
        except Exception:
            _log.info("The first look at %s has failed.", path, exc_info=True)
            return
        if statuses != [200]:  # readers who come meanwhile must not wait behind four looks more that fail
            return


def _request(path: str, query: str) -> MutableMapping[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"accept", b"text/html"), (b"accept-encoding", b"gzip")],
        "client": None,
        "server": None,
    }


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
