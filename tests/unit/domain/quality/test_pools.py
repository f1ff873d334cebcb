"""Pools: who may be in one, and who takes part."""

from __future__ import annotations

import pytest
from tests.support.histories import SL5, a_patch, a_site

from pps.domain.base.errors import ConfigurationError
from pps.domain.quality.pools import Pool, checked_pools, chosen_pools, contradictions, reasons_against_taking_part
from pps.domain.sites.site import CertificationStatus, Infrastructure

SITES = {s.name: s for s in (a_site("INFN-T1"), a_site("INFN-BARI"), a_site("PIC", roc="SouthWest"))}
ITALY = Pool("italy", "Italy", ("INFN-T1", "INFN-BARI"))


def test_sound_pools_have_no_contradictions() -> None:
    assert contradictions([ITALY, Pool("spain", "SouthWest", ("PIC",))], SITES) == ()
    assert contradictions([], SITES) == ()


@pytest.mark.parametrize(
    ("pools", "reason"),
    [
        ([ITALY, Pool("south", "Italy", ("INFN-BARI",))], "INFN-BARI is in two pools, italy and south."),
        ([Pool("italy", "Italy", ("INFN-T1", "INFN-T1"))], "INFN-T1 is twice in pool italy."),
        ([ITALY, Pool("italy", "Italy", ())], "Pool italy is listed 2 times."),
        ([Pool("italy", "Italy", ("CNAF",))], "CNAF of pool italy is not in sites.yaml."),
        ([Pool("italy", "Italy", ("PIC",))], "PIC belongs to ROC SouthWest, pool italy to Italy."),
    ],
)
def test_each_contradiction_is_said_and_stops_the_use_of_the_pools(pools: list[Pool], reason: str) -> None:
    found = contradictions(pools, SITES)
    assert found == (reason,)
    with pytest.raises(ConfigurationError, match="pps pools check"):
        checked_pools(pools, found)


def test_all_pools_are_asked_unless_some_are_chosen_and_unknown_ones_are_an_error() -> None:
    pools = (ITALY, Pool("spain", "SouthWest", ("PIC",)))
    assert chosen_pools(pools, None) == pools
    assert chosen_pools(pools, ["spain", "spain"]) == pools[1:]
    with pytest.raises(ConfigurationError, match="pool france"):
        chosen_pools(pools, ["spain", "france"])


@pytest.mark.sd("4.2.3")
def test_only_certified_production_sites_on_a_platform_of_the_patch_take_part() -> None:
    assert reasons_against_taking_part(a_site(), a_patch()) == ()
    member = a_site(infrastructure=Infrastructure.PPS, certification=CertificationStatus.SUSPENDED)
    assert reasons_against_taking_part(member, a_patch(platforms=(SL5,))) == (
        "INFN-T1 is not a production site (PPS).",
        "INFN-T1 is suspended in the site registry.",
        "INFN-T1 runs debian12-amd64; the patch is for sl5-x86_64.",
    )
    # who has not opted in to previews of clients may well be in a pool
    assert reasons_against_taking_part(a_site(accepts_previews=False)) == ()
