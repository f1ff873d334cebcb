"""All forms, by the name of their step."""

from __future__ import annotations

from collections.abc import Mapping

from pps.workflow.clients import local_configuration, signing
from pps.workflow.forms import Form
from pps.workflow.pilots import at_sites, before, meetings
from pps.workflow.quality import deployment_tests, release_tests
from pps.workflow.release import overruling

FORMS: Mapping[str, Form] = {
    form.step: form
    for form in (
        local_configuration.FORM,
        *signing.FORMS,
        deployment_tests.DEPLOYMENT_SCENARIO,
        *overruling.FORMS,
        *release_tests.FORMS,
        *before.FORMS,
        *meetings.FORMS,
        *at_sites.FORMS,
    )
}
