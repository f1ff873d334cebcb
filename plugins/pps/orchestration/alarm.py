"""Who is told when something that we keep is not what is on record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pps.domain.base.errors import PackageError, TamperedError
from pps.domain.record.rollouts import Rollout
from pps.orchestration.runtime import actor, now
from pps.services import Services


def raise_alarm(s: Services, record: Rollout, error: PackageError) -> None:
    """Tell coordination and Release Manager, once for each finding."""
    s.tell_of_tampering(record, error, now, actor())


@contextmanager
def watched(s: Services, record: Rollout, also: type[PackageError] = TamperedError) -> Iterator[None]:
    """Whatever reads what we keep (tarballs, packages, mirrors) does it in here; `also`: what means the same."""
    try:
        yield
    except (TamperedError, also) as error:
        raise_alarm(s, record, error)
        raise
