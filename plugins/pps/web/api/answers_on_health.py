"""What the API answers on the health of the installation."""

from __future__ import annotations

from datetime import datetime

from pps.activities.sites.diagnosis import Health
from pps.web.api.answers import Answer


class HealthCheck(Answer):
    """One thing that is looked at."""

    subject: str
    state: Health
    text: str
    next_step: str


class HealthReport(Answer):
    """How the installation is."""

    state: Health
    """the worst of all checks"""
    at: datetime
    checks: list[HealthCheck]
