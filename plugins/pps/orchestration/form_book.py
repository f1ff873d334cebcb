"""All forms, by the name of their step."""

from __future__ import annotations

from collections.abc import Mapping

from pps.orchestration.forms import Form

FORMS: Mapping[str, Form] = {}
