"""The mail sink: an SMTP server that delivers nothing and keeps every mail readable.

```text
<folder>/20260312T101502Z-0007-atlas-software-preview-of-glite-wn-3-1-23.eml   one mail as it came
<folder>/index.jsonl                                                        one line for each, oldest first
```
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from pps.sandbox.grid.sockets import about_to_listen

_MOST_BYTES = 16 * 1024 * 1024
INDEX = "index.jsonl"


@dataclass(frozen=True, slots=True)
class KeptMail:
    """One line of the index. What came from the mail is text without control characters."""

    number: int
    file: str
    received_at: str
    sender: str
    recipients: tuple[str, ...]
    """of the envelope: who really gets it"""
    subject: str
    message_id: str


class MailSink:
    """Keeps mails in a folder; numbers go on where an earlier sink in the same folder stopped."""

    def __init__(self, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._now = now
        folder.mkdir(parents=True, exist_ok=True)
        self._last = max((m.number for m in kept_mails(folder)), default=0)
        if (folder / INDEX).exists():
            # a line that was cut by a kill must not swallow the next one
            with (folder / INDEX).open("a", encoding="utf-8") as index:
                index.write("\n")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Write mail and index line to the disk, then accept."""
        content = envelope.content
        data = content if isinstance(content, bytes) else (content or "").encode("utf-8", "surrogateescape")
        self._keep(data, envelope.mail_from or "", tuple(envelope.rcpt_tos))
        return f"250 OK kept as {self._last}"

    def _keep(self, data: bytes, sender: str, recipients: tuple[str, ...]) -> None:
        now = self._now()
        self._last += 1
        subject, message_id = _header(data, "subject"), _header(data, "message-id")
        to = recipients[0].split("@")[0] if recipients else "nobody"
        name = f"{now:%Y%m%dT%H%M%SZ}-{self._last:04}-{_slug(to, 24)}-{_slug(subject, 60)}.eml"
        part = self._folder / f".{self._last}.part"
        part.write_bytes(data)
        part.rename(self._folder / name)
        mail = KeptMail(
            self._last,
            name,
            now.isoformat(timespec="seconds"),
            _plain(sender),
            tuple(map(_plain, recipients)),
            subject,
            message_id,
        )
        with (self._folder / INDEX).open("a", encoding="utf-8") as index:
            index.write(json.dumps(asdict(mail)) + "\n")


def _header(data: bytes, name: str) -> str:
    """One decoded header as plain text; what cannot be parsed is shown as it came."""
    # the parser of the default policy raises on some broken headers, so it is asked for one header at a time
    raw = message_from_bytes(data).get(name)
    if raw is None:
        return ""
    try:
        value = str(default.header_fetch_parse(name, re.sub(r"(?<![\r\n])[\r\n]++(?=[ \t])", "", str(raw))))
    except Exception:  # a sink takes anything, and email raises IndexError, AttributeError and more
        value = str(raw)
    return _plain(value)


def _plain(text: str) -> str:
    """Text for one line of a terminal: no control, bidirectional or undecodable characters, 300 at most."""
    return "".join(c if c.isprintable() else " " for c in text[:300]).strip()


def _slug(text: str, longest: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest].strip("-") or "none"


class SmtpServer:
    """The sink's SMTP port, in the grid's event loop."""

    def __init__(self, sink: MailSink, sock: socket.socket) -> None:
        self._sink = sink
        self._socket = sock
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()

        def conversation() -> SMTP:
            return SMTP(
                self._sink, data_size_limit=_MOST_BYTES, enable_SMTPUTF8=True, hostname="mail.example.org", loop=loop
            )

        self._server = await loop.create_server(conversation, sock=about_to_listen(self._socket))

    async def stop(self) -> None:
        """Close; a conversation under way is cut."""
        if self._server:
            self._server.close()
        self._socket.close()


def kept_mails(folder: Path, to: str = "") -> tuple[KeptMail, ...]:
    """The index, oldest first; `to`: only mails to an address that contains this text."""
    try:
        lines = (folder / INDEX).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    mails = []
    for line in filter(None, lines):
        try:
            values: dict[str, Any] = json.loads(line)
        except ValueError:  # the line that was being written when the process was killed
            continue
        mails.append(KeptMail(**{**values, "recipients": tuple(values["recipients"])}))
    return tuple(m for m in mails if not to or any(to.lower() in r.lower() for r in m.recipients))


def read_mail(folder: Path, mail: KeptMail) -> EmailMessage:
    """A kept mail, parsed."""
    return message_from_bytes((folder / mail.file).read_bytes(), policy=default)
