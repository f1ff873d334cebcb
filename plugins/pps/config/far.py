"""The configuration of an installation, read through its API by somebody who has signed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from pps.config.loader import Configuration, checked_model
from pps.domain.base.errors import ConfigurationError

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class FarConfiguration(Configuration):
    """Files are asked for when they are first read; which of them, the role says of whoever has signed in."""

    folder: Path = Path("/nonexistent/pps")
    """there is none here: what needs a file itself says that it is missing"""
    documents: Callable[[str], Any] = field(kw_only=True)
    """the content of a file, or None where the installation has none"""

    def has(self, file: str) -> bool:
        """Tell whether the installation has a file of this name."""
        return self.documents(file) is not None

    def read(self, file: str, model: type[M]) -> M:
        """Read and check one file."""
        if (raw := self.documents(file)) is None:
            raise ConfigurationError(file, "is not there at the installation.", "Ask those who run it.")
        return checked_model(file, raw, model)
