"""Candidates for a pilot: who can, who cannot, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.pilots import GOLD, MINOR, partner

from pps.domain.pilots.candidates import Load, rank, reasons_against_candidate
from pps.domain.sites.site import CertificationStatus, Infrastructure, PartnerLevel, Platform

G, P = PartnerLevel.GOLD, PartnerLevel.PLATINUM


@pytest.mark.parametrize(
    ("different", "more", "why"),
    [
        ({"partner_levels": frozenset({P})}, {}, "is no Gold partner, and has not volunteered"),
        ({"infrastructure": Infrastructure.PPS}, {}, "is not a production site"),
        ({"certification": CertificationStatus.SUSPENDED}, {}, "is suspended"),
        ({"platform": Platform("sl5", "x86_64")}, {}, "runs sl5-x86_64"),
        ({}, {"in_downtime": ["PIC"]}, "is in downtime"),
        ({}, {"load": Load(open_pilots=2)}, "runs 2 pilots"),
    ],
)
def test_each_reason_against_a_site_is_named(different: dict[str, Any], more: dict[str, Any], why: str) -> None:
    site = replace(partner("PIC", G), **different)
    (reason,) = reasons_against_candidate(site, MINOR, G, open_pilots_at_most=2, **more)
    assert why in reason


def names(sites: Any, **more: Any) -> list[str]:
    return [c.site for c in rank(sites, MINOR, G, open_pilots_at_most=2, **({"loads": {}} | more)).candidates]


def test_partners_come_before_volunteers_and_those_who_run_the_service_before_others() -> None:
    sites = [
        partner("INFN-BARI"),
        partner("LIP-Lisbon", G, services=()),
        partner("PIC", G),
    ]
    assert names(sites, volunteers=["INFN-BARI"]) == ["PIC", "LIP-Lisbon", "INFN-BARI"]
    assert names(sites) == ["PIC", "LIP-Lisbon"]


def test_among_equals_who_has_less_to_do_and_has_done_less_comes_first() -> None:
    loads = {"PIC": Load(1, 0), "IFIC-LCG2": Load(0, 40), "INFN-T1": Load(0, 12)}
    assert names(GOLD.values(), loads=loads) == ["INFN-T1", "IFIC-LCG2", "PIC"]
    assert names(GOLD.values()) == ["IFIC-LCG2", "INFN-T1", "PIC"]


@given(
    st.permutations(list(GOLD.values())),
    st.dictionaries(st.sampled_from(list(GOLD)), st.builds(Load, st.integers(0, 3), st.integers(0, 100))),
)
def test_every_site_is_ranked_or_left_out_with_a_reason_whatever_the_order(sites: list[Any], loads: dict) -> None:
    found = rank(sites, MINOR, G, loads=loads, open_pilots_at_most=2)
    ranked = [c.site for c in found.candidates]
    assert sorted([*ranked, *found.excluded]) == sorted(GOLD)
    assert all(found.excluded.values())
    assert all(c.reasons for c in found.candidates)
    assert found == rank(GOLD.values(), MINOR, G, loads=loads, open_pilots_at_most=2)
