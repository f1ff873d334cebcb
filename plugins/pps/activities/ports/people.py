"""What goes out to people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pps.domain.base.names import addresses_of


@dataclass(frozen=True, slots=True)
class Mail:
    """One message. `key` makes it unique: the outbox keeps one of each, for each recipient."""

    key: str
    to: str
    """one address; several of a site are separated when the mail is recorded"""
    subject: str
    text: str
    html: str = ""
    attachments: tuple[tuple[str, str, str], ...] = ()
    """(file name, MIME type, text)"""
    text_sha256: str = field(default="", compare=False)
    """of the text; set by the outbox, which does not keep texts that have left, or were given up"""
    unsubscribe: str = ""
    """where one click ends such mails (RFC 8058); "" for mails that people get for their part in a rollout"""
    channel: str = ""
    """by which it leaves, as people.yaml names it; "": by mail"""
    link: str = field(default="", compare=False)
    """the page that it is about, for a channel's copy of it; not kept with a mail"""

    def one_each(self) -> tuple[Mail, ...]:
        """The same to each of several recipients: nobody reads the others' addresses, all are told."""
        first, *others = addresses_of(self.to) or (self.to,)
        return replace(self, to=first), *(replace(self, key=f"{self.key}/{to}", to=to) for to in others)


class Mailer(Protocol):
    """Hands messages to SMTP."""

    def send(self, mails: Sequence[Mail], accepted: Callable[[str], None] = lambda key: None) -> Mapping[str, str]:
        """Send over one connection; return `key -> error` for those that were not accepted.

        `accepted` is called with a mail's key as soon as the server has taken it, before the next
        one goes out: whoever marks it there sends at most one mail twice when
        killed.
        The Message-ID derives from the key, so a duplicate after a crash can be recognised.
        `ServiceError` when the server cannot be reached at all.
        """


class Channel(Protocol):
    """Another way to people than mail: a chat's room, a program."""

    def send(self, message: Mail) -> str:
        """Hand over one message: its subject, and the link that is its text. Returns "", or why it was not taken.

        It ends in time, whatever is at the other end. Neither the result nor an error tells a secret address.

        Raises:
            ServiceError: nobody answers there, or they cannot take anything now.
        """

    def check(self) -> str:
        """Say in one sentence what is there, without sending anything; `RolloutError` says what is wrong."""


class Templates(Protocol):
    """Jinja2 templates of include/templates; people's text is data in them, never source."""

    def render(self, template: str, view: Mapping[str, Any]) -> str:
        """Render a template; `.html` escapes, a missing value is a `ConfigurationError`."""
