"""The shape of config/people.yaml: whom to tell, and who holds which role."""

from __future__ import annotations

from pydantic import Field, field_validator

from pps.config.base_models import Address, Model, Name
from pps.domain.people.providers import Provider
from pps.domain.people.roles import Role


class VoModel(Model):
    """One VO of people.yaml."""

    name: Name
    contact: Address
    representatives: tuple[Name, ...] = ()
    """User names in Airflow that speak for it; none: only the coordination does."""


class RocModel(Model):
    """One ROC of people.yaml."""

    name: Name
    contact: Address
    managers: tuple[Name, ...] = ()
    """User names in Airflow of its Regional Managers; pages show them their own region first."""


class ProviderModel(Model):
    """One provider of software of people.yaml."""

    name: Name
    contact: Address
    products: tuple[Name, ...]
    """Metapackages, and types of services, that it provides."""
    representatives: tuple[Name, ...] = ()
    """User names in Airflow that speak for it; none: only the release management does."""

    def to_domain(self) -> Provider:
        """The domain's provider."""
        return Provider(self.name, self.products, self.representatives)


class PeopleFile(Model):
    """people.yaml: whom to tell, and who holds which role."""

    vos: tuple[VoModel, ...]
    rocs: tuple[RocModel, ...]
    roles: dict[Role, tuple[Name, ...]] = Field(default_factory=dict)
    role_contacts: dict[Role, Address] = Field(default_factory=dict)
    """Role -> where its people are told that something waits for them."""

    def regions_of(self, user: str) -> tuple[str, ...]:
        """The regions that somebody looks after."""
        return tuple(roc.name for roc in self.rocs if user in roc.managers)

    providers: tuple[ProviderModel, ...] = ()
    """Who provides which products: they see, and plan, how their own ones do."""

    @field_validator("providers")
    @classmethod
    def _each_product_once(cls, providers: tuple[ProviderModel, ...]) -> tuple[ProviderModel, ...]:
        products = [product.casefold() for provider in providers for product in provider.products]
        if twice := sorted({product for product in products if products.count(product) > 1}):
            raise ValueError(f"these products have more than one provider: {', '.join(twice)}")
        return providers
