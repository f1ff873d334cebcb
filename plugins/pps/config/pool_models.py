"""The shape of config/pools.yaml: pools of sites for release testing (SD 4.2.3)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pps.config.base_models import Model, Name
from pps.domain.quality.pools import Pool


class PoolModel(Model):
    """One pool of pools.yaml."""

    name: Name
    roc: Name
    sites: Annotated[tuple[Name, ...], Field(min_length=1, max_length=500)]
    services: Annotated[tuple[Name, ...], Field(max_length=50)] = ()

    def to_domain(self) -> Pool:
        """The domain's pool."""
        return Pool(self.name, self.roc, self.sites, self.services)


class PoolsFile(Model):
    """pools.yaml. Contradictions are found by `domain.pools.contradictions`."""

    pools: tuple[PoolModel, ...]
