"""The provider's part in the sandbox: real packages into its repository, and a patch into the tracker."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from upath import UPath

from pps.activities.ports.tracker import Tracker
from pps.adapters.packages.repository_writer import publish_packages
from pps.domain.packages.patch import Patch, Repository, RepositoryKind
from pps.domain.sites.site import Platform
from pps.sandbox.provider.packages import ProviderPackages, make_sample_packages
from pps.sandbox.provider.real_clients import can_fetch_real_clients, fetch_real_clients
from pps.sandbox.provider.scenario import NUMBER, VERSION, demo_patch, submit


def real_or_sample_packages(cache: Path, *, real: bool | None = None) -> tuple[ProviderPackages, bool]:
    """Real grid clients where this machine has APT, else samples that we make; and which it was.

    Args:
        cache: folder for downloads; the second time is quick.
        real: True insists on real ones, False on samples.
    """
    if real is None:
        real = can_fetch_real_clients()
    if real:
        return fetch_real_clients(cache / "real-clients"), True
    return make_sample_packages(cache / "sample-clients", VERSION), False


def offer_patch(
    repository_folder: Path,
    repository_url: str,
    tracker: Tracker,
    provided: ProviderPackages,
    platform: Platform,
    *,
    number: int = NUMBER,
    version: str = VERSION,
    layout: RepositoryKind = RepositoryKind.APT,
    **different: Any,
) -> Patch:
    """Publish the packages in a repository of their own and enter the patch; once more changes nothing.

    Args:
        different: fields of `Patch` that are not as in the demo.
    """
    name = f"{layout.value}-{number}"
    apt = layout is RepositoryKind.APT
    repository = Repository(layout, f"{repository_url}/{name}", "preview" if apt else "", ("main",) if apt else ())
    publish_packages(UPath(repository_folder / name), repository, provided.files, datetime.now(UTC))
    patch = demo_patch(
        repository, provided.packages, provided.externals, platform=platform, number=number, version=version
    )
    patch = replace(patch, **different)
    submit(tracker, patch)
    return patch
