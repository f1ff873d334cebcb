"""The shape of `platform_indexes` in service.yaml: what a platform has by itself, e.g. Debian's archive, or EPEL."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pps.config.base_models import Model, Name, PlatformName
from pps.domain.packages.patch import Repository, RepositoryKind


class PlatformIndex(Model):
    """One repository of a platform; `package_keys` says who must have signed it."""

    kind: RepositoryKind
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2000)]
    suite: Annotated[str, Field(pattern=r"^((\./)?[A-Za-z0-9][A-Za-z0-9._/+-]{0,127}|\.?/)?$")] = ""
    components: tuple[Name, ...] = ()

    def to_domain(self) -> Repository:
        """The domain's repository."""
        return Repository(self.kind, self.url, self.suite, self.components)


PlatformIndexes = dict[PlatformName, tuple[PlatformIndex, ...]]
