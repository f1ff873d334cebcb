"""The shape of config/people.yaml: whom to tell, and who holds which role."""

from __future__ import annotations

from pydantic import Field

from pps.config.base_models import Address, Model, Name
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


class PeopleFile(Model):
    """people.yaml: whom to tell, and who holds which role."""

    vos: tuple[VoModel, ...]
    rocs: tuple[RocModel, ...]
    roles: dict[Role, tuple[Name, ...]] = Field(default_factory=dict)
    role_contacts: dict[Role, Address] = Field(default_factory=dict)
    """Role -> where its people are told that something waits for them."""
