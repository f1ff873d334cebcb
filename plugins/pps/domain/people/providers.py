"""Who provides which products, and speaks for them: as VOs and sites have their people, so have providers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pps.domain.people.roles import Role

#: Roles that answer for releases of all providers.
IN_CHARGE = (Role.RELEASE_MANAGER, Role.PPS_COORDINATOR)
#: Those who also read what lies between a provider and the release management.
MAY_LOOK = (*IN_CHARGE, Role.EMT)


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider of people.yaml."""

    name: str
    products: tuple[str, ...]
    """metapackages, and types of services"""
    representatives: tuple[str, ...]
    """user names"""

    def has(self, *products: str) -> bool:
        """Tell whether one of these is theirs; names of products differ in more than capitals."""
        return bool({p.casefold() for p in self.products} & {p.casefold() for p in products})

    def is_spoken_for_by(self, mine: Collection[str]) -> bool:
        """Tell whether somebody with these identities (`roles.identities`) is one of its people."""
        return bool({f"user:{name}" for name in self.representatives} & set(mine))


def provider_of(providers: Iterable[Provider], *products: str) -> Provider | None:
    """Whose product it is; None where people.yaml does not say."""
    return next((p for p in providers if p.has(*products)), None)


def reasons_against_looking(product: str, providers: Iterable[Provider], mine: Collection[str]) -> tuple[str, ...]:
    """Say why somebody may not see how a product does; no reasons means that they may.

    Source: seed "Software providers perspective": it is a provider's own work "considering the requirements of EGI",
    so it is between that provider and the release management.

    Args:
        mine: all names under which this person is known (`roles.identities`).
    """
    if {f"role:{role}" for role in MAY_LOOK} & set(mine) or _speaks(product, providers, mine):
        return ()
    roles = ", the ".join(MAY_LOOK)
    return (f"Only its provider's people, as people.yaml names them, and the {roles} see how {product} does.",)


def reasons_against_speaking_for_product(
    product: str, what: str, providers: Iterable[Provider], mine: Collection[str]
) -> tuple[str, ...]:
    """Say why somebody may not speak for a product; no reasons means that they may.

    Args:
        what: what they may not, e.g. `set its targets`.
        mine: as above.
    """
    if {f"role:{role}" for role in IN_CHARGE} & set(mine) or _speaks(product, providers, mine):
        return ()
    return (f"Only the {' and the '.join(IN_CHARGE)} and the people of the provider of {product} may {what}.",)


def reasons_against_submitting(product: str, providers: Iterable[Provider], mine: Collection[str]) -> tuple[str, ...]:
    """Say why somebody may not submit releases of a product; no reasons means that they may.

    Only its provider's people may: what is submitted is what sites will install, and whoever can waive its faults must
    not be the one who brought it.

    Args:
        mine: as above.
    """
    provider = provider_of(providers, product)
    if provider is None:
        return (
            f"people.yaml names no provider of {product[:64]}. Ask the {Role.PPS_COORDINATOR} to add it there, with "
            "your user name.",
        )
    if not provider.is_spoken_for_by(mine):
        return (f"Only the people of its provider, as people.yaml names them, may submit releases of {product}.",)
    if product not in provider.products:
        spelt = next(p for p in provider.products if p.casefold() == product.casefold())
        return (f"The product is spelt {spelt}; otherwise its releases would be those of two.",)
    return ()


def _speaks(product: str, providers: Iterable[Provider], mine: Collection[str]) -> bool:
    return any(p.has(product) and p.is_spoken_for_by(mine) for p in providers)
