"""A release as a form: what is typed is the document, and comes back as it was."""

from __future__ import annotations

import pytest

from pps.web.provider_form import as_document, as_typed


@pytest.mark.parametrize(
    "typed",
    [
        "CVE-2026-12345 critical CVE-2026-12346 CVE-2026-12347 low",
        "CVE-2026-12345 critical, CVE-2026-12346,CVE-2026-12347 low",
        " CVE-2026-12345 critical\nCVE-2026-12346 \n\nCVE-2026-12347 low\n",
    ],
)
def test_cves_keep_their_severity_however_they_are_separated(typed: str) -> None:
    found = as_document({"cves": typed})["cves"]
    assert found == ["CVE-2026-12345 critical", "CVE-2026-12346", "CVE-2026-12347 low"]
    assert as_document({"cves": as_typed({"cves": found})["cves"]})["cves"] == found


def test_what_is_said_of_other_cves_stays_one_to_a_line() -> None:
    typed = "CVE-2026-12346 not_affected vulnerable_code_not_present\nCVE-2026-12347 affected"
    found = as_document({"vex": f" {typed}\n\n"})["vex"]
    assert found == typed.split("\n") and as_typed({"vex": found})["vex"] == typed
