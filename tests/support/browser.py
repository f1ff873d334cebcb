"""A real browser (Chromium, headless), driven by its own debugging protocol.

```python
from tests.support.browser import browser  # noqa: F401

@pytest.mark.needs("browser")
def test_something(browser: Browser) -> None:
    browser.open("http://127.0.0.1:8080/")
    assert browser.js("document.title") == "Hello"
```
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.sync.client import ClientConnection, connect

_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


_SERVER_ERROR = -32000


class BetweenPages(Exception):
    """The page that was asked is just giving way to another one."""


class Browser:
    """One page. `dialogs` and `complaints` hold what an attack, or a policy that is too strict, would leave there."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.dialogs: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol; events that arrive meanwhile are noted."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._connection.recv(timeout=30))
            if message.get("id") == number:
                if message.get("error", {}).get("code") == _SERVER_ERROR:
                    raise BetweenPages(message["error"]["message"])
                assert "error" not in message, message
                return dict(message["result"])
            if message.get("method") == "Page.javascriptDialogOpening":
                self.dialogs.append(message["params"]["message"])
                self._connection.send(
                    json.dumps({"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}})
                )
            if message.get("method") == "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; works although the page itself may run no script."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, url: str) -> None:
        """Go to a page and wait until it is there."""
        self.call("Page.navigate", url=url)
        self.wait(lambda: self.js("document.readyState === 'complete' && location.href !== 'about:blank'"))

    def wait(self, is_so: Callable[[], object], within_s: float = 20) -> None:
        """Wait for a condition; between two pages nothing is so."""
        deadline = time.monotonic() + within_s
        while True:
            with suppress(BetweenPages):
                if is_so():
                    return
            assert time.monotonic() < deadline, self.js("document.documentElement.outerHTML")
            time.sleep(0.05)


@contextmanager
def opened(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in this folder."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "needs chromium"
    flags = [*_FLAGS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with subprocess.Popen(
        [program, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            port_file = profile / "DevToolsActivePort"
            deadline = time.monotonic() + 30
            while not (port_file.exists() and port_file.read_text().strip()):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            with urlopen(f"http://127.0.0.1:{port_file.read_text().split()[0]}/json/list") as answer:
                page = next(p for p in json.load(answer) if p["type"] == "page")
            with connect(page["webSocketDebuggerUrl"], max_size=2**24) as connection:
                yield Browser(connection)
        finally:
            process.terminate()
            process.wait(timeout=20)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with opened(tmp_path / "profile") as found:
        yield found
