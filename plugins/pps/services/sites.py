"""Adapters that reach sites, and ask the grid about them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from pps.activities.ports.clean_roots import CleanRoots
from pps.activities.ports.services import InformationSystem, Matchmaker, ServiceProbes
from pps.activities.ports.sites import SiteShell, SshTarget
from pps.domain.sites.site import Site
from pps.services.base import Shared, clean_root_cache

if TYPE_CHECKING:
    pass


class Sites(Shared):
    """Sites, their services, and clean roots like theirs."""

    @cached_property
    def information_system(self) -> InformationSystem:
        """The top BDII."""
        from pps.adapters.services.bdii import Bdii

        return Bdii(self.config.service.bdii_url, self.config.service.bdii_base)

    @cached_property
    def service_probes(self) -> ServiceProbes:
        """Knocks at services of sites."""
        from pps.adapters.services.service_probe import NetworkProbes

        return NetworkProbes()

    @cached_property
    def clean_roots(self) -> CleanRoots:
        """Clean roots for deployment tests, where this machine allows it."""
        from pps.adapters.roots.clean_root import DebianRoots

        return DebianRoots(clean_root_cache())

    @cached_property
    def matchmaker(self) -> Matchmaker | None:
        """HTCondor's ClassAd library, or None where it is not installed."""
        from pps.adapters.services.classads import matchmaker_if_installed

        return matchmaker_if_installed()

    @cached_property
    def shell(self) -> SiteShell:
        """The way to the sites: the system's OpenSSH client, else asyncssh."""
        from pps.adapters.sites.site_shell import site_shell

        return site_shell()

    @property
    def ssh_client(self) -> str | None:
        """Path of the system's OpenSSH client, or None."""
        return shutil.which("ssh")

    def known_sites(self, names: Iterable[str]) -> list[Site]:
        """Those of them that the registry has; a site that has left it is no longer ours to touch."""
        return [self.config.sites[name] for name in names if name in self.config.sites]

    def targets(self, sites: Iterable[Site]) -> tuple[SshTarget, ...]:
        """How to log in at these sites, with the registry's key file."""
        key = self.config.sites_file.ssh_key_file
        if key is not None:  # relative to the file that names it
            key = self.config.folder.resolve() / key.expanduser()
        return tuple(SshTarget(s.name, s.ssh.host, s.ssh.port, s.ssh.user, s.ssh.host_key, key_file=key) for s in sites)
