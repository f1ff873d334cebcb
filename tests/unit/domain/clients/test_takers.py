"""Which sites take a preview."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.examples import PATCH, site
from tests.support.front import NOW

from pps.domain.clients.takers import Offer, reasons_against_site
from pps.domain.sites.site import Scheme, Site
from pps.domain.sites.wishes import AllWishes

PIC = site("PIC")


@pytest.mark.parametrize(
    ("pic", "reasons"),
    [
        (PIC, ()),
        (replace(PIC, kit_wanted_from=NOW + timedelta(seconds=1)), ()),
        (replace(PIC, kit_wanted_from=NOW, kit=Scheme.OPENSSL), ()),
        (
            replace(PIC, kit_wanted_from=NOW),
            ("PIC has no kit, and gets previews only with one since Sun 1 Mar 2026, 12:00 UTC (docs/kit.md).",),
        ),
    ],
    ids=["none wanted", "not yet", "has one", "has none"],
)
def test_from_a_day_on_that_policy_names_a_site_without_a_kit_gets_no_more(pic: Site, reasons: tuple[str, ...]) -> None:
    assert reasons_against_site(pic, Offer.of_patch(PATCH, None), AllWishes(NOW, {})) == reasons
