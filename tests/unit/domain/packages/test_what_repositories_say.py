"""Dates and addresses of providers' repositories, as people and tools write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pps.adapters.sites.gocdb import read_listing
from pps.domain.base.errors import ConfigurationError, PackageError
from pps.domain.packages.release_files import reasons_against_release
from pps.domain.packages.repository_trust import Address

NOW = datetime(2026, 11, 28, 5, tzinfo=UTC)


def _reasons(**fields: str) -> tuple[str, ...]:
    return reasons_against_release({"suite": "stable"} | fields, "stable", NOW, signed=True)


@pytest.mark.parametrize("zone", ["UTC", "GMT", "Z", "+0000", "-0000", "utc"])
def test_a_valid_until_in_utc_is_read_whatever_utc_is_called(zone: str) -> None:
    assert _reasons(**{"valid-until": f"Sat, 28 Nov 2026 05:01:00 {zone}"}) == ()
    assert _reasons(**{"valid-until": f"Sat, 28 Nov 2026 04:59:00 {zone}"}) != ()


def test_an_offset_counts_and_the_name_of_another_zone_is_refused_not_taken_for_utc() -> None:
    assert _reasons(**{"valid-until": "Sat, 28 Nov 2026 05:30:00 +0100"}) != ()
    for zone in ("CET", "NZDT", "PST"):
        assert "is no date" in " ".join(_reasons(**{"valid-until": f"Sat, 28 Nov 2026 12:00:00 {zone}"}))


@pytest.mark.parametrize(
    "url",
    [
        "https://builder:s3cret@repository.example.org/apt",
        "https://builder:s3cret/word@repository.example.org/apt",
        "https://builder@s3cret:s3cret@repository.example.org/apt",
        "https://repository.example.org/apt?X-Amz-Signature=s3cret",
    ],
)
def test_a_password_or_a_signature_in_an_address_is_in_no_sentence(url: str) -> None:
    with pytest.raises(PackageError) as refused:
        Address.parse(url)
    with pytest.raises(PackageError) as led:
        Address.parse("https://other.example.org/apt").leads_to(url)
    assert "s3cret" not in f"{refused.value} {led.value}"
    if "?" not in url:
        with pytest.raises(ConfigurationError) as gocdb:
            read_listing(url)
        assert "s3cret" not in str(gocdb.value)
