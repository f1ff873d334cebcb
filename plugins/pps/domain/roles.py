"""The roles of SD 2 that sign in, and can therefore be asked something. Their rights: `orchestration/roles.py`."""

from __future__ import annotations

ROLES_THAT_ANSWER = (
    "Release Manager",
    "PPS Coordinator",
    "EMT",
    "Site Administrator",
    "Regional Manager",
    "VO Representative",
)
