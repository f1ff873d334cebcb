"""All forms, by the name of their step."""

from __future__ import annotations

from collections.abc import Mapping

from pps.orchestration import (
    forms_local_configuration,
    forms_overruling,
    forms_pilot,
    forms_pilot_meetings,
    forms_pilot_site,
    forms_release_tests,
)
from pps.orchestration.forms import Form
from pps.orchestration.forms_deployment import DEPLOYMENT_SCENARIO

FORMS: Mapping[str, Form] = {
    form.step: form
    for form in (
        forms_local_configuration.FORM,
        DEPLOYMENT_SCENARIO,
        *forms_overruling.FORMS,
        *forms_release_tests.FORMS,
        *forms_pilot.FORMS,
        *forms_pilot_meetings.FORMS,
        *forms_pilot_site.FORMS,
    )
}
