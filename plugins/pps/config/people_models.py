"""The shape of config/people.yaml: whom to tell, and who holds which role."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from pps.config.base_models import Address, Model, Name
from pps.config.channel_models import ChannelModel, ToldModel
from pps.domain.people.channels import Group, connection_of
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

    providers: tuple[ProviderModel, ...] = ()
    """Who provides which products: they see, and plan, how their own ones do."""

    channels: dict[Name, ChannelModel] = Field(default_factory=dict)
    """Other ways to people than mail."""
    told: tuple[ToldModel, ...] = ()
    """Who gets what by them."""

    @field_validator("channels")
    @classmethod
    def _each_has_a_connection(cls, channels: dict[str, ChannelModel]) -> dict[str, ChannelModel]:
        connections = [connection_of(name) for name in channels]
        if twice := sorted({name for name in connections if connections.count(name) > 1}):
            raise ValueError(f"the names of two channels are too alike, as both would have the Connection {twice[0]}")
        return channels

    @field_validator("told")
    @classmethod
    def _channels_are_known(cls, told: tuple[ToldModel, ...], info: ValidationInfo) -> tuple[ToldModel, ...]:
        known = info.data.get("channels", {})
        if unknown := sorted({name for one in told for name in one.channels} - known.keys()):
            raise ValueError(f"no such channel: {', '.join(unknown)}; declare it under channels")
        return told

    @field_validator("providers")
    @classmethod
    def _each_product_once(cls, providers: tuple[ProviderModel, ...]) -> tuple[ProviderModel, ...]:
        products = [product.casefold() for provider in providers for product in provider.products]
        if twice := sorted({product for product in products if products.count(product) > 1}):
            raise ValueError(f"these products have more than one provider: {', '.join(twice)}")
        return providers

    @property
    def groups(self) -> tuple[Group, ...]:
        """Who gets what by other channels than mail."""
        return tuple(one.to_domain() for one in self.told)

    def regions_of(self, user: str) -> tuple[str, ...]:
        """The regions that somebody looks after."""
        return tuple(roc.name for roc in self.rocs if user in roc.managers)
