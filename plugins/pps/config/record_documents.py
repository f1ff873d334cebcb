"""Facts, register and outbox as documents: what `pps` of people reads of the record through our API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from pps.activities.ports.people import Mail
from pps.activities.ports.record import OpenRollout
from pps.domain.record.facts import Fact, FactKind


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class FactDocument(_Document):
    """One fact, with the record that it belongs to."""

    rollout: str
    kind: FactKind
    subject: str
    occasion: str
    at: AwareDatetime
    actor: str
    payload: dict[str, Any]

    def to_domain(self) -> Fact:
        """The fact."""
        return Fact(self.rollout, self.kind, self.subject, self.occasion, self.at, self.actor, self.payload)


class RowDocument(_Document):
    """One row of the register."""

    name: str
    path: str
    patch: int
    opened_at: AwareDatetime
    closed_at: AwareDatetime | None

    def to_port(self) -> OpenRollout:
        """The row."""
        return OpenRollout(self.name, self.path, self.patch, self.opened_at, self.closed_at)


class MailDocument(_Document):
    """A message of the outbox without what it says: that holds keys of those to whom it went."""

    key: str
    to: str
    channel: str
    subject: str
    text_sha256: str
    sent_at: AwareDatetime | None
    error: str

    def to_port(self) -> tuple[Mail, datetime | None, str]:
        """As `Facts.outbox` gives it, with no text."""
        mail = Mail(self.key, self.to, self.subject, "", channel=self.channel, text_sha256=self.text_sha256)
        return mail, self.sent_at, self.error


def fact_document(fact: Fact) -> dict[str, Any]:
    """The document of a fact."""
    return {
        "rollout": fact.rollout,
        "kind": fact.kind.value,
        "subject": fact.subject,
        "occasion": fact.occasion,
        "at": fact.at.isoformat(),
        "actor": fact.actor,
        "payload": dict(fact.payload),
    }


def row_document(row: OpenRollout) -> dict[str, Any]:
    """The document of a row of the register."""
    return {
        "name": row.name,
        "path": row.path,
        "patch": row.patch,
        "opened_at": row.opened_at.isoformat(),
        "closed_at": _moment(row.closed_at),
    }


def mail_document(mail: Mail, sent: datetime | None, error: str) -> dict[str, Any]:
    """The document of a message."""
    return {
        "key": mail.key,
        "to": mail.to,
        "channel": mail.channel,
        "subject": mail.subject,
        "text_sha256": mail.text_sha256,
        "sent_at": _moment(sent),
        "error": error,
    }


def facts_of(documents: list[Mapping[str, Any]]) -> tuple[Fact, ...]:
    """The facts of these documents."""
    return tuple(FactDocument.model_validate(one).to_domain() for one in documents)


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
