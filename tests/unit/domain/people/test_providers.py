"""A provider's people see, and speak for, their own products, and for nobody else's."""

from __future__ import annotations

import pytest

from pps.domain.people.providers import (
    Provider,
    provider_of,
    reasons_against_looking,
    reasons_against_speaking_for_product,
)
from pps.domain.people.roles import Role, identities

GLOBUS = Provider("globus", ("glite-WN", "CREAM-CE"), ("ada", "Release"))
DPM = Provider("dpm", ("glite-SE_dpm",), ("bob",))
SILENT = Provider("silent", ("glite-LFC",), ())
ALL = (GLOBUS, DPM, SILENT)


def may(product: str, user: str, *roles: str) -> tuple[bool, bool]:
    """(see it, speak for it)"""
    mine = identities(7, user, roles)
    look = reasons_against_looking(product, ALL, mine)
    speak = reasons_against_speaking_for_product(product, "set its targets", ALL, mine)
    return not look, not speak


@pytest.mark.parametrize("product", ["glite-WN", "GLITE-wn", "CREAM-CE"])
def test_a_providers_people_see_their_own_products_alone(product: str) -> None:
    assert may(product, "ada", "Viewer") == (True, True)
    assert may(product, "bob", "Viewer") == (False, False)
    assert may("glite-SE_dpm", "ada", "Viewer") == (False, False)


@pytest.mark.parametrize("product", ["glite-WN", "glite-LFC", "nobody-has-it"])
def test_those_in_charge_see_every_product_and_other_roles_none(product: str) -> None:
    for role in (Role.RELEASE_MANAGER, Role.PPS_COORDINATOR):
        assert may(product, "carol", role) == (True, True)
    assert may(product, "carol", Role.EMT) == (True, False)
    for role in ("Admin", "Viewer", Role.SITE_ADMINISTRATOR, Role.VO_REPRESENTATIVE, Role.REGIONAL_MANAGER):
        assert may(product, "carol", role) == (False, False)


def test_a_user_whose_name_is_a_role_speaks_for_nobody_else() -> None:
    assert may("glite-SE_dpm", f"role:{Role.RELEASE_MANAGER}", "Viewer") == (False, False)
    assert may("glite-LFC", "silent", "Viewer") == (False, False)


def test_a_refusal_says_who_may() -> None:
    (why,) = reasons_against_looking("glite-WN", ALL, identities(1, "bob", ["Viewer"]))
    assert "people.yaml" in why
    assert Role.EMT in why
    assert provider_of(ALL, "x", "cream-ce") is GLOBUS
    assert provider_of(ALL, "x") is None
