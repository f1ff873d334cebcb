"""Who we are at an object store: the Connection `pps_object_store`; without it, the variables `AWS_*`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pps.domain.base.errors import ConfigurationError

CONNECTION = "pps_object_store"
_SCHEMES = ("s3", "s3a")
_EXTRAS = ("endpoint_url", "region_name")


@dataclass(frozen=True, slots=True)
class StoreLogin:
    """A key of an object store that speaks S3, and where that is."""

    key: str
    secret: str = field(repr=False)
    endpoint_url: str | None = None
    """None: Amazon's, or what `AWS_ENDPOINT_URL_S3` says"""
    region_name: str | None = None

    @classmethod
    def of(cls, connection: str | None) -> StoreLogin | None:
        """From a Connection's URI, `aws://KEY:SECRET@/?endpoint_url=...&region_name=...`; None where there is none.

        Raises:
            ConfigurationError: it lacks key or secret, or says something that we would not do.
        """
        if not connection:
            return None
        parts = urlsplit(connection)
        extras: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
        if "__extra__" in extras:  # as Airflow writes what does not fit into a query
            try:
                extras |= dict(json.loads(extras.pop("__extra__")))
            except (ValueError, TypeError) as error:
                raise _wrong("its extra is no JSON object.") from error
        if not (parts.username and parts.password):
            raise _wrong("lacks the key (its login) or the secret (its password).")
        if unknown := sorted(extras.keys() - set(_EXTRAS)):
            raise _wrong(f"says {', '.join(unknown)}, of which we know nothing.")
        said = {name: str(extras[name]) for name in _EXTRAS if extras.get(name)}
        return cls(unquote(parts.username), unquote(parts.password), **said)

    def options(self) -> dict[str, Any]:
        """For `UPath("s3://...", **options)`."""
        region = {"client_kwargs": {"region_name": self.region_name}} if self.region_name else {}
        endpoint = {"endpoint_url": self.endpoint_url} if self.endpoint_url else {}
        return {"key": self.key, "secret": self.secret, **endpoint, **region}

    def for_client(self) -> dict[str, Any]:
        """For botocore's `create_client("s3", **...)`."""
        said = {"endpoint_url": self.endpoint_url, "region_name": self.region_name}
        known = {name: value for name, value in said.items() if value}
        return {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret, **known}


def is_object_store(address: str) -> bool:
    """Tell whether a folder of service.yaml lies in one that speaks S3."""
    return urlsplit(address).scheme in _SCHEMES


def said_by(connection: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Who says who we are there, in words for `pps doctor`; never what it says."""
    if connection:
        return f"the Connection {CONNECTION}"
    if environment.get("AWS_ACCESS_KEY_ID"):
        return "the variables AWS_*"
    if environment.get("AWS_PROFILE") or Path("~/.aws/credentials").expanduser().exists():
        return "a file of AWS (~/.aws)"
    return "this machine's role, or nobody"


def _wrong(why: str) -> ConfigurationError:
    form = "aws://KEY:SECRET@/?endpoint_url=https%3A%2F%2Fs3.example.org&region_name=..."
    return ConfigurationError(f"connection {CONNECTION}", why, f"Write it as {form}")
