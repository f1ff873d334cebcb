"""What a rollout would do, by the rules of SD 4.1.1."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.front import PATCH, site

from pps.activities.clients.forecast import Forecast, foresee
from pps.config.site_models import SiteModel
from pps.domain.clients.batches import BatchLimits
from pps.domain.packages.patch import Patch

LIMITS = BatchLimits(2, 3, 1.0, 0.3, 3)


def forecast(patch: Patch = PATCH, count: int = 8, open_as: str | None = None) -> Forecast:
    sites = [SiteModel.model_validate(site(f"S{n}", canary=n == 5)).to_domain() for n in range(count)]
    sites.append(SiteModel.model_validate(site("OLD", platform="sl4-i386")).to_domain())
    return foresee("bc-client-4711-1", patch, sites, limits=LIMITS, tag_vo="ops", open_as=open_as)


@pytest.mark.sd("4.1.1")
def test_every_site_is_planned_once_or_left_out_with_a_reason() -> None:
    seen = forecast()
    planned = [name for batch in seen.batches.values() for name in batch]
    assert sorted(planned) == [f"S{n}" for n in range(8)]
    assert "S5" in seen.batches["canary"]
    assert seen.left_out == {"OLD": ("OLD runs sl4-i386; the patch is for debian12-amd64.",)}
    assert seen.reasons_against == ()
    assert seen.originators == ("ada@example.org",)


@pytest.mark.sd("4.1.1")
@pytest.mark.parametrize(
    ("patch", "part"),
    [
        (replace(PATCH, basic_certification_passed=False), "SA3 has not flagged"),
        (replace(PATCH, changed_variables=("BDII_HOST",)), "changes the configuration variables BDII_HOST"),
    ],
)
def test_the_preconditions_are_named(patch: Patch, part: str) -> None:
    assert part in " ".join(forecast(patch).reasons_against)


def test_a_grid_without_takers_is_a_reason() -> None:
    assert forecast(count=0).reasons_against == ("No site of the registry takes it.",)


def test_an_open_rollout_is_a_reason() -> None:
    assert forecast(open_as="bc-client-4711-1").reasons_against[0].endswith("as bc-client-4711-1.")
