"""What we keep is not what is on record: it was refused, and now the people in charge are told, once a finding."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from pps.activities.people.letters import circular
from pps.activities.ports.people import Templates
from pps.activities.ports.record import Facts
from pps.domain.base.errors import PackageError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout


def tell_of_tampering(
    error: PackageError,
    record: Rollout,
    facts: Facts,
    templates: Templates,
    recipients: Sequence[str],
    now: datetime,
    actor: str,
    *,
    published: bool = False,
) -> bool:
    """Put on record what was refused, and queue a mail about it; tells whether that is news.

    Nothing else follows from it: no site is marked, and none loses what it has.

    Args:
        published: it lies where sites fetch it, so it was found, not refused.
    """
    digest = hashlib.sha256(f"{error.subject}\n{error.why}".encode("utf-8", "replace")).hexdigest()[:16]
    payload = {"what": error.subject, "why": error.why, "next_step": error.next_step}
    mails = circular(
        templates,
        "artefact_refused",
        {"rollout": record.name, "opened": record.opened, "published": published, **payload},
        key=f"{record.name}/artefact-refused/{digest}",
        to=recipients,
        subject=(
            f"Found: what is published for {record.name} is not what was published"
            if published
            else f"Refused: what is kept for {record.name} is not what is on record"
        ),
    )
    return bool(
        facts.record(Fact(record.name, FactKind.ARTEFACT_REFUSED, "", digest, now, actor, payload), mails=mails)
    )
