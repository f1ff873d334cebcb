"""All forms, by the name of their step."""

from __future__ import annotations

from collections.abc import Mapping

from pps.orchestration.forms import Form
from pps.orchestration.scenario_form import DEPLOYMENT_SCENARIO

FORMS: Mapping[str, Form] = {form.step: form for form in (DEPLOYMENT_SCENARIO,)}
