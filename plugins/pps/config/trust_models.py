"""The shape of `package_keys` in service.yaml: who must have signed the repositories of providers (docs/adr/0020)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pps.domain.base.errors import RolloutError
from pps.domain.base.texts import reasons_against_reason
from pps.domain.packages.repository_trust import Address


def _reason(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds control or invisible characters; it must be one line of text")
    if reasons := reasons_against_reason(text):
        raise ValueError(" ".join(reasons))
    return text


Reason = Annotated[str, Field(max_length=500), AfterValidator(_reason)]


class SigningKeys(BaseModel):
    """Who must have signed the index of a repository; or, in so many words, why it is believed without a signature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keyring: Path | None = None
    """Public keys, armoured or not; relative to the folder of service.yaml."""
    unsigned: Reason | None = None
    """Why what comes over https is believed although it is not signed."""
    unsigned_over_http: Reason | None = None
    """Why even what comes over plain http is believed, although anybody on the way can change it."""

    @model_validator(mode="after")
    def _one_of_them(self) -> SigningKeys:
        if sum(v is not None for v in (self.keyring, self.unsigned, self.unsigned_over_http)) != 1:
            raise ValueError("needs one of keyring, unsigned and unsigned_over_http")
        return self

    @property
    def reason(self) -> str:
        """Why it is believed without a signature; empty if it is not."""
        return self.unsigned or self.unsigned_over_http or ""


def _sound(entries: Mapping[str, SigningKeys]) -> Mapping[str, SigningKeys]:
    for prefix, keys in entries.items():
        try:
            scheme = Address.parse(prefix).scheme
        except RolloutError as error:
            raise ValueError(str(error)) from error
        if keys.unsigned is not None and scheme == "http":
            raise ValueError(
                f"{prefix} is plain http, where anybody on the way can change an unsigned index; use https, or say why "
                "it is believed all the same: unsigned_over_http"
            )
        if keys.unsigned_over_http is not None and scheme == "https":
            raise ValueError(f"{prefix} is https; use `unsigned` there")
    return entries


PackageKeys = Annotated[dict[str, SigningKeys], AfterValidator(_sound)]
