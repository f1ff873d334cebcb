"""The shape of config/service.yaml: where the central services are."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from pps.config.base_models import Address, Host, Model
from pps.config.platform_models import PlatformIndexes
from pps.config.trust_models import PackageKeys


class ServiceFile(Model):
    """service.yaml: where the central services are. Secrets are Airflow connections, never here."""

    public_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    """Address at which people reach the bulletin and the feedback channel."""
    tracker_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    """Of versions before; no longer read. tracker.yaml says which tracker there is."""
    bdii_url: Annotated[str, Field(pattern=r"^ldaps?://[^\s]+$")]
    bdii_base: str = "o=grid"
    smtp_host: Host
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 25
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    mail_from: Address
    reply_to: Address
    artefact_store: str
    """ObjectStoragePath: file:///..., s3://..."""
    production_repository: str
    """ObjectStoragePath of the folder in which production packages and tarballs are published."""
    production_url: Annotated[str, Field(pattern=r"^(https?|file)://[^\s]+$")] | None = None
    """Address at which sites reach that folder; none: the folder's own."""
    release_test_url: Annotated[str, Field(pattern=r"^(https?|file)://[^\s]+$")] | None = None
    """Address at which sites reach `release-test/` of the production repository; none: the folder's own."""
    mirror_folder: str | None = None
    """ObjectStoragePath of the folder with mirrors of providers' repositories for pilots; none: no mirrors."""
    mirror_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    """Address at which sites reach that folder."""
    upload_folder: str | None = None
    """ObjectStoragePath of the folder with packages that providers upload; none: no uploads."""
    upload_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    """Address at which that folder is served, to sites and to us."""
    publication_folder: str
    """ObjectStoragePath of the folder with bulletin and release notes."""
    pull_folder: str | None = None
    """ObjectStoragePath of the folder that sites with a kit fetch from, or mirrors of it; none: no site can fetch.
    Any web server serves it, read-only, by http or https: sites verify what comes (docs/kit.md)."""
    package_keys: PackageKeys = Field(default_factory=dict)
    """Address -> who must have signed the repositories at and below it; others are refused."""
    platform_indexes: PlatformIndexes = Field(default_factory=dict)
    """Platform -> the repositories that it has by itself: needs of submitted releases are solved against these."""
    plain_http_because: Annotated[str, Field(min_length=20, max_length=500)] | None = None
    """Why sites may reach us without TLS all the same; none: such an address is refused."""

    @model_validator(mode="after")
    def _sites_come_by_tls(self) -> ServiceFile:
        # the address of our keys is below public_url: whoever changes them on their way signs as we do
        if self.plain_http_because is None:
            for name in ("public_url", "production_url", "release_test_url", "mirror_url", "upload_url"):
                url = urlsplit(getattr(self, name) or "")
                if url.scheme == "http" and url.hostname not in _THIS_MACHINE:
                    raise ValueError(
                        f"{name} is a plain http address: anybody on the way can change what sites read there. Serve "
                        "it by https; if it has to be so, say why in plain_http_because (a sentence)"
                    )
        return self


_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
