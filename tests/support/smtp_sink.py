"""A real SMTP server that keeps what it gets, and can refuse, greylist, hang up and want a login.

```python
from tests.support.smtp_sink import smtp_sink  # noqa: F401
```
"""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from pps.adapters.services.mail import SmtpMailer


class SmtpSink:
    """Keeps every accepted message; recipients in `refuse` and `greylist` get 550 and 451."""

    def __init__(
        self,
        login: tuple[str, str] | None = None,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.envelopes: list[tuple[list[str], EmailMessage]] = []
        self.connections = 0
        self.refuse: set[str] = set()
        self.greylist: set[str] = set()
        """refused for now, once each"""
        self.at_message: Callable[[int], None] = lambda number: None
        """called with the number of the message, from 1, before it is accepted"""
        self.hang_up_after: int | None = None
        """close each connection after so many messages, with 421"""
        self._login = login
        self._lock = threading.Lock()
        self._in_session: Counter[int] = Counter()
        sink = self

        class CountingSmtp(SMTP):
            def connection_made(self, transport: Any) -> None:
                sink.connections += 1
                super().connection_made(transport)

        class SinkController(Controller):
            def _trigger_server(self) -> None:
                self.port = self.server.sockets[0].getsockname()[1]  # it was 0: any free port
                super()._trigger_server()

            def factory(self) -> SMTP:
                return CountingSmtp(
                    self.handler,
                    hostname="sink.example.org",
                    authenticator=sink._authenticate if sink._login else None,
                    auth_require_tls=False,
                    auth_required=sink._login is not None,
                    tls_context=starttls,
                )

        self._make = lambda: SinkController(self, hostname="127.0.0.1", port=0, ssl_context=tls)
        self._controller: Controller | None = None

    @property
    def messages(self) -> list[EmailMessage]:
        """What was accepted, in order."""
        return [message for _, message in self.envelopes]

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._controller is not None
        return int(self._controller.port)

    def mailer(self, **settings: Any) -> SmtpMailer:
        """A mailer that sends here."""
        own = {"security": "none", "sender": "pps@example.org", "reply_to": "pps-support@example.org", "timeout_s": 5.0}
        return SmtpMailer("127.0.0.1", self.port, **{**own, **settings})

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1; again on another one after a stop."""
        self._controller = self._make()
        self._controller.start()
        self.connections = 0  # without the controller's own

    def stop(self) -> None:
        """Stop listening."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == self._login
        return AuthResult(success=good, handled=good)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if address in self.refuse:
            return "550 5.1.1 no such mailbox"
        if address in self.greylist:
            self.greylist.discard(address)
            return "451 4.7.1 greylisted, come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        with self._lock:
            self.at_message(len(self.envelopes) + 1)
            self._in_session[id(session)] += 1
            if self.hang_up_after is not None and self._in_session[id(session)] > self.hang_up_after:
                return "421 4.3.2 too many messages on this connection"
            message = message_from_bytes(cast(bytes, envelope.content), policy=policy.default)
            self.envelopes.append((list(envelope.rcpt_tos), cast(EmailMessage, message)))
        return "250 kept"


@pytest.fixture
def smtp_sink() -> Iterator[SmtpSink]:
    """A running sink."""
    sink = SmtpSink()
    sink.start()
    yield sink
    sink.stop()
