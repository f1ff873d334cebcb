"""The shape of roles.yaml (`pps users apply`): who signs in, and as what. Nobody's password is in it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from pps.config.base_models import Address, Model, Name
from pps.domain.people.roles import READERS, Role


class PersonModel(Model):
    """Somebody of a site."""

    name: Name
    """as in `administrators` of the site in sites.yaml"""
    email: Address | None = None
    first_name: Annotated[str, Field(max_length=250)] = ""
    last_name: Annotated[str, Field(max_length=250)] = ""
    active: bool = True
    """false: signs in no more; what they did stays on record"""
    password_env: Annotated[str, Field(pattern=r"^PPS_[A-Z0-9_]+$")] | None = None
    """The environment variable that holds the password of a program's login; none: people set their own."""

    @property
    def address(self) -> str:
        """Airflow wants an address for each user, and none twice."""
        return self.email or f"{self.name}@localhost"


class UserModel(PersonModel):
    """Somebody who signs in, with their roles."""

    roles: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("roles")
    @classmethod
    def _roles_are_known(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(roles) - READERS):
            raise ValueError(f"no such role: {', '.join(unknown)}; there are {', '.join(sorted(READERS))}")
        return roles


class RolesFile(Model):
    """roles.yaml: users with their roles, and the people of each site."""

    users: tuple[UserModel, ...] = ()
    sites: dict[Name, tuple[PersonModel, ...]] = Field(default_factory=dict)

    @property
    def all_users(self) -> tuple[UserModel, ...]:
        """Each once, with all roles: somebody may answer for several sites, and have a role beside it."""
        found = {user.name: user for user in self.users}
        for person in (one for people in self.sites.values() for one in people):
            of_site = UserModel(**person.model_dump(), roles=(Role.SITE_ADMINISTRATOR.value,))
            before = found.setdefault(person.name, of_site)
            roles = tuple(dict.fromkeys((*before.roles, Role.SITE_ADMINISTRATOR.value)))
            found[person.name] = before.model_copy(update={"roles": roles})
        return tuple(found.values())

    @model_validator(mode="after")
    def _each_is_one(self) -> RolesFile:
        if twice := [name for name, times in Counter(user.name for user in self.users).items() if times > 1]:
            raise ValueError(f"named twice under users: {', '.join(sorted(twice))}")
        addresses = Counter(user.address.casefold() for user in self.all_users)
        if shared := [address for address, times in addresses.items() if times > 1]:
            raise ValueError(f"two users cannot have one address in Airflow: {', '.join(sorted(shared))}")
        return self
