"""What the API answers on vulnerabilities; as `answers`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pps.domain.packages.advice import Risk
from pps.domain.quality.exposure import Standing
from pps.web.api.answers import Answer


class Fix(Answer):
    """A patch that closes it."""

    patch: int
    product: str
    version: str
    risk: Risk | None
    """none: nobody has said"""
    released_at: datetime | None
    """in production since; none: it is not"""
    public_from: datetime | None
    """end of its embargo"""


class ExposedSite(Answer):
    """What is known of a site and a product."""

    site: str
    roc: str
    platform: str
    product: str
    standing: Standing
    """unknown is not safe"""
    version: str
    since: datetime | None
    deadline: datetime | None
    """none: none runs, as no fix is in production, or nobody has said how grave it is"""
    overdue: bool
    words: str


class Exposure(Answer):
    """Where a vulnerability still is, overdue sites first."""

    format: Literal[1]
    cve: str
    at: datetime
    embargo_until: datetime | None
    """none: it is no secret"""
    counts: dict[str, int]
    fixes: list[Fix]
    sites: list[ExposedSite]
