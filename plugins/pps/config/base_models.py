"""What the shapes of all files of config/ have in common. Strict: frozen, unknown keys forbidden, units in the keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pps.domain.base import durations
from pps.domain.base.errors import RolloutError
from pps.domain.base.names import (
    checked_address,
    checked_addresses,
    checked_host,
    checked_name,
    checked_site_path,
    checked_subcluster,
)
from pps.domain.sites.site import Platform


def parse_duration(value: Any) -> timedelta:
    """Read `20s`, `90m`, `36h`, `14d`, `2w`; anything else is a `ValueError`."""
    return value if isinstance(value, timedelta) else durations.parse_duration(str(value))


def _by_the_domain(check: Callable[[str, str], str], what: str) -> AfterValidator:
    """Let the domain judge; as a ValueError its sentence joins pydantic's list instead of ending it."""

    def judge(value: str) -> str:
        try:
            return check(value, what)
        except RolloutError as error:
            raise ValueError(str(error)) from error

    return AfterValidator(judge)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, _by_the_domain(checked_name, "name")]
Address = Annotated[str, _by_the_domain(checked_address, "mail address")]
Addresses = Annotated[str, _by_the_domain(checked_addresses, "mail addresses")]
SubClusterId = Annotated[str, _by_the_domain(checked_subcluster, "SubCluster")]
SitePath = Annotated[str, _by_the_domain(checked_site_path, "path")]
PlatformName = Annotated[str, _by_the_domain(lambda v, _: str(Platform.parse(v)), "platform")]
Host = Annotated[str, _by_the_domain(checked_host, "host")]


class Model(BaseModel):
    """Base of all: what is not in the shape is an error, what was read is not changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
