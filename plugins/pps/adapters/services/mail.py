"""Hands mails to an SMTP server (port `Mailer`), one recipient to a message."""

from __future__ import annotations

import hashlib
import re
import smtplib
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Literal

from pps.activities.ports.people import Mail
from pps.domain.base.errors import InvalidNameError, ServiceError
from pps.domain.base.names import checked_address, checked_name
from pps.domain.base.texts import one_line

SENDER_NAME = "Pre-Production Service"
# RFC 2047's opening: what looks like an encoded word would be decoded when a header is set.
_ENCODED_WORD = "=?"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def message_id(key: str, sender: str) -> str:
    """The same key always gives the same Message-ID, so that a duplicate can be recognised."""
    digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:40]
    return f"<{digest}@{sender.rpartition('@')[2]}>"


@dataclass(frozen=True)
class SmtpMailer:
    """The port `Mailer` on smtplib."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"] = "starttls"
    sender: str = "pps@localhost"
    reply_to: str = "pps@localhost"
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    timeout_s: float = 20.0
    """for each answer of the server"""
    batch_s: float = 180.0
    """for all mails of one call; the rest is reported as not tried. Less than the outbox's claim."""
    clock: Callable[[], datetime] = field(default=_utc_now, repr=False)

    def send(self, mails: Sequence[Mail], accepted: Callable[[str], None] = lambda key: None) -> Mapping[str, str]:
        """Send; see the port. A connection that breaks is made again, once for each mail."""
        if not mails:
            return {}
        errors: dict[str, str] = {}
        ends = time.monotonic() + self.batch_s
        server: smtplib.SMTP | None = self._connect()
        try:
            for mail in mails:
                if time.monotonic() > ends:
                    errors[mail.key] = "not tried: the mail server was too slow with those before"
                    continue
                try:
                    message = self.message(mail)
                except (InvalidNameError, ValueError, LookupError) as error:
                    errors[mail.key] = f"not sent: {error}"
                    continue
                try:
                    server = server or self._connect()
                    refused = _refusal(server, message)
                except (ServiceError, smtplib.SMTPServerDisconnected, OSError) as error:
                    errors[mail.key] = f"connection lost: {_reason(error)}"
                    _close(server)
                    server = None
                    continue
                if refused:
                    errors[mail.key] = refused
                else:
                    accepted(mail.key)
        finally:
            _close(server)
        return errors

    def message(self, mail: Mail) -> EmailMessage:
        """The message as it goes out; `InvalidNameError` for a bad address or a bad attachment's name."""
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(SENDER_NAME, addr_spec=self.sender)
        message["To"] = checked_address(mail.to, "recipient")
        message["Reply-To"] = self.reply_to
        message["Subject"] = _subject(mail.subject)
        message["Date"] = format_datetime(self.clock())
        message["Message-ID"] = message_id(mail.key, self.sender)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies, please
        message["List-Id"] = f"<pps.{self.sender.rpartition('@')[2]}>"
        if mail.unsubscribe:
            message["List-Unsubscribe"] = f"<{_address(mail.unsubscribe)}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        # quoted-printable passes every server, with or without 8BITMIME
        message.set_content(mail.text, cte="quoted-printable")
        if mail.html:
            message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
        for name, mime_type, text in mail.attachments:
            kind, _, subtype = mime_type.partition("/")
            checked_name(kind, "type of an attachment")
            message.add_attachment(
                text.encode(),
                kind,
                checked_name(subtype, "type of an attachment"),
                filename=checked_name(name, "attachment"),
                params=_parameters(kind, subtype, text),
            )
        return message

    def _connect(self) -> smtplib.SMTP:
        """Connect, encrypt, log in; `ServiceError` names the server, never the login."""
        server: smtplib.SMTP | None = None
        try:
            if self.security == "tls":
                server = smtplib.SMTP_SSL(
                    self.host, self.port, timeout=self.timeout_s, context=ssl.create_default_context()
                )
            else:
                server = smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)
            if self.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self.user:
                server.login(self.user, self.password)
        except smtplib.SMTPAuthenticationError as error:
            _close(server)
            raise ServiceError(
                f"mail server {self.host}:{self.port}", "refused our login.", "Check the connection pps_smtp."
            ) from error
        except (smtplib.SMTPException, OSError) as error:
            _close(server)
            raise ServiceError(
                f"mail server {self.host}:{self.port}",
                f"does not answer ({_reason(error)}).",
                "Mails wait in the outbox.",
            ) from error
        return server


def _address(url: str) -> str:
    """An address as it stands in a header: it can add no other one."""
    if not re.fullmatch(r"https?://[^\s<>\x00-\x20]+", url):
        raise ValueError("the link that ends such mails is no address")
    return url


def _parameters(kind: str, subtype: str, text: str) -> dict[str, str] | None:
    # RFC 6047, 2.4: an invitation, or its cancellation, is one only if its content type says the same
    found = re.search(r"^METHOD:([A-Z]+)\r?$", text, re.MULTILINE) if (kind, subtype) == ("text", "calendar") else None
    method = {"method": found[1]} if found else {}
    return {"charset": "utf-8", **method} if kind == "text" else None


def _subject(text: str) -> str:
    """A subject as one line of printable characters, whatever was given: it can add no header."""
    return one_line(text, 250).replace(_ENCODED_WORD, "= ?")


def _refusal(server: smtplib.SMTP, message: EmailMessage) -> str:
    """Send one message; return "" when it was accepted, else the server's words."""
    try:
        server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code, text = next(iter(error.recipients.values()))
        return _answer(code, text)
    except smtplib.SMTPResponseException as error:  # sender refused, data refused
        if error.smtp_code == 421:  # the server closes the connection
            raise smtplib.SMTPServerDisconnected(_answer(421, error.smtp_error)) from error
        return _answer(error.smtp_code, error.smtp_error)
    except (smtplib.SMTPNotSupportedError, UnicodeError) as error:
        return f"not sent: {_reason(error)}"
    return ""


def _answer(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return one_line(f"{code} {words}", 300)


def _reason(error: Exception) -> str:
    return one_line(str(error), 200) or type(error).__name__


def _close(server: smtplib.SMTP | None) -> None:
    if server is None:
        return
    try:
        server.quit()
    except (smtplib.SMTPException, OSError):
        server.close()
