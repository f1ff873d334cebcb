"""The part of config/people.yaml that says who gets what by other channels than mail."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from pps.config.base_models import Address, Model, Name
from pps.domain.people.channels import Group, Notice, reasons_against_url


class By(StrEnum):
    """How a channel is reached."""

    WEBHOOK = "webhook"
    """signed JSON to `url`; the secret is the password of its Connection"""
    APPRISE = "apprise"
    """a chat; its apprise URL is the password of its Connection, as it holds a secret"""


class ChannelModel(Model):
    """Another way to people than mail."""

    by: By
    url: str = ""

    @model_validator(mode="after")
    def _fits(self) -> ChannelModel:
        reasons: Iterable[str] = ()
        if self.by is By.WEBHOOK:
            reasons = reasons_against_url(self.url)
        elif self.url:
            reasons = ("an apprise URL holds a secret: it is the password of a Connection, and never written here.",)
        if reasons:
            raise ValueError(" ".join(reasons))
        return self


class ToldModel(Model):
    """People who share an address, and what they get by other channels."""

    address: Address
    channels: Annotated[tuple[Name, ...], Field(min_length=1)]
    notices: tuple[Notice, ...] = tuple(Notice)
    mail: bool = True
    """they get the same by mail as well; what may leave by mail alone always does"""

    def to_domain(self) -> Group:
        """The domain's group."""
        return Group(self.address, self.channels, frozenset(self.notices), self.mail)
