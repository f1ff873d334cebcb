"""RunTimeEnvironment tags: how a preview is announced in the information system (SD 4.1.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pps.domain.base.errors import InvalidNameError
from pps.domain.base.names import checked_name
from pps.domain.packages.patch import Patch

_TAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,159}")


@dataclass(frozen=True, slots=True, order=True)
class RunTimeEnvironmentTag:
    """One value of GlueHostApplicationSoftwareRunTimeEnvironment, `VO-<vo>-<name>`."""

    vo: str
    name: str

    def __post_init__(self) -> None:
        checked_name(self.vo, "VO")
        if not _TAG_NAME.fullmatch(self.name):
            raise InvalidNameError(
                f"tag {str(self)[:80]!r}", "is not a RunTimeEnvironment tag.", "Tags look like VO-ops-NAME."
            )

    def __str__(self) -> str:
        return f"VO-{self.vo}-{self.name}"


def preview_tag(patch: Patch, vo: str) -> RunTimeEnvironmentTag:
    """The tag that announces a preview, e.g. `VO-ops-PPS-GLITE-WN-3.1.23`."""
    return RunTimeEnvironmentTag(vo, f"PPS-{patch.metapackage.upper()}-{patch.version}")


def jdl_requirement(tag: RunTimeEnvironmentTag | str) -> str:
    """The line that a user puts into a JDL to get the sites with the preview (through the WMS)."""
    return f'Requirements = Member("{tag}", other.GlueHostApplicationSoftwareRunTimeEnvironment);'
