"""All forms, by the name of their step."""

from __future__ import annotations

from collections.abc import Mapping

from pps.orchestration import forms_local_configuration, forms_overruling
from pps.orchestration.forms import Form

FORMS: Mapping[str, Form] = {
    form.step: form for form in (forms_local_configuration.FORM, *forms_overruling.FORMS)
}
