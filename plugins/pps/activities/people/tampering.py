"""What we keep is not what is on record: it was refused, and the people in charge are told, once for each finding."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pps.activities.desk import Desk
from pps.domain.base.errors import PackageError
from pps.domain.record.facts import FactKind


def tell_of_tampering(desk: Desk, error: PackageError, recipients: Sequence[str], *, published: bool = False) -> bool:
    """Put on record what was refused, and queue a mail about it; tells whether that is news.

    Nothing else follows from it: no site is marked, and none loses what it has.

    Args:
        published: it lies where sites fetch it, so it was found, not refused.
    """
    digest = hashlib.sha256(f"{error.subject}\n{error.why}".encode("utf-8", "replace")).hexdigest()[:16]
    payload = {"what": error.subject, "why": error.why, "next_step": error.next_step}
    mails = desk.circular(
        "artefact_refused",
        {"rollout": desk.name, "opened": desk.rollout.opened, "published": published, **payload},
        key=f"{desk.name}/artefact-refused/{digest}",
        to=recipients,
        subject=(
            f"Found: what sites fetch for {desk.name} is not what was published"
            if published
            else f"Refused: what is kept for {desk.name} is not what is on record"
        ),
    )
    return bool(desk.record(desk.fact(FactKind.ARTEFACT_REFUSED, "", digest, payload), mails=mails))
