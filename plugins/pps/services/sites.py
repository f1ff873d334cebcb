"""Adapters that reach sites, and ask the grid about them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pps.activities.ports.clean_roots import CleanRoots
from pps.activities.ports.record import Facts
from pps.activities.ports.services import InformationSystem, Matchmaker, ServiceProbes
from pps.activities.ports.sites import SiteShell, SshTarget
from pps.activities.trust.kit_shell import KitShell
from pps.activities.trust.papers import PapersOnRecord
from pps.domain.base.errors import ConfigurationError, ServiceError
from pps.domain.sites.site import Scheme, Site
from pps.domain.trust.keys import Current, Root, Signer
from pps.domain.trust.signed import Signed, opened
from pps.services.base import Shared, clean_root_cache

if TYPE_CHECKING:
    from pps.adapters.packages.folders import PublishedFolder


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
        """The way to the sites: the system's OpenSSH client, else asyncssh; through their kits where they have one."""
        from pps.adapters.sites.site_shell import site_shell

        with_kit = [(site.name, site.platform, site.kit) for site in self.config.sites.values() if site.kit]
        if not with_kit:
            return site_shell()
        papers = {scheme: self._papers(scheme) for scheme in {scheme for *_, scheme in with_kit}}
        return KitShell(site_shell(), {name: papers[scheme].at(platform) for name, platform, scheme in with_kit})

    @cached_property
    def key_lists(self) -> Mapping[Scheme, Sequence[Signed]]:
        """Scheme -> the lists of keys of sites.yaml's `kits`, in their order; the last is in force (docs/keys.md).

        Raises:
            ConfigurationError: one cannot be read, or is not the next of the one before.
        """
        return {scheme: self._lists(kits.keys) for scheme, kits in self.config.sites_file.kits.items()}

    @property
    def keys_in_force(self) -> Mapping[Scheme, Root]:
        """Scheme -> whose signatures count now; of those that a site of the registry has."""
        used = {site.kit for site in self.config.sites.values()}
        return {scheme: Root.parse(lists[-1].document) for scheme, lists in self.key_lists.items() if scheme in used}

    @staticmethod
    def check_signatures(signed: Signed, root: Root) -> tuple[Sequence[Signer], Sequence[str]]:
        """Whose signatures of a document hold under these keys, and why others do not."""
        from pps.adapters.trust.signatures import those_who_signed

        return those_who_signed(signed, root)

    def _beside_sites_yaml(self, path: Path) -> Path:
        return self.config.folder.resolve() / path.expanduser()

    def _lists(self, files: Sequence[Path]) -> Sequence[Signed]:
        found = list[Signed]()
        for number, file in enumerate(files, 1):
            path = self._beside_sites_yaml(file)
            try:
                (signed,) = opened(path.read_text("ascii"))
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"sites.yaml, kits: {file}", f"cannot be read as a list of keys ({error}).", "See docs/keys.md."
                ) from error
            if (is_number := Root.parse(signed.document).number) != number:
                why = f"has the number {is_number}; {number} is expected at its place."
                raise ConfigurationError(f"sites.yaml, kits: {file}", why, "Name all lists, in their order.")
            found.append(signed)
        return found

    def _papers(self, scheme: Scheme, facts: Facts | None = None) -> PapersOnRecord:
        def keys() -> Sequence[Signed]:
            return self.key_lists[scheme]

        return PapersOnRecord(facts or self.facts, keys, self._sign_current, lambda: datetime.now(UTC))

    def public_papers(self, facts: Facts) -> Mapping[Scheme, PapersOnRecord]:
        """Scheme -> what its sites may fetch, by what strangers may read of the record."""
        return {scheme: self._papers(scheme, facts) for scheme in self.config.sites_file.kits}

    @cached_property
    def pull_folder(self) -> PublishedFolder | None:
        """What sites with a kit fetch from; None where they cannot."""
        from pps.adapters.packages.folders import PublishedFolder

        address = self.config.service.pull_folder
        return PublishedFolder(self.folder_at(address), "folder that sites fetch from") if address else None

    def _sign_current(self, current: Current, root: Root) -> Signed:
        """What is in force, signed with the online key of this machine."""
        from pps.adapters.trust.signatures import sign, those_who_signed

        key = self._beside_sites_yaml(self.config.sites_file.kits[root.scheme].current_key_file)
        for signer in root.current:
            try:
                signed = Signed(current.text, (sign(current.text, signer.name, key, root.scheme),))
            except ServiceError as error:
                raise ConfigurationError(f"sites.yaml, kits: {key.name}", error.why, error.next_step) from error
            if those_who_signed(signed, root)[0]:
                return signed
        why = f"is none of the keys that keys number {root.number} let say what is current."
        raise ConfigurationError(f"sites.yaml, kits: {key.name}", why, "Name the online key, or put it on the list.")

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
        return tuple(
            SshTarget(s.name, ssh.host, ssh.port, ssh.user, ssh.host_key, key_file=key)
            for s in sites
            for ssh in [s.login]
        )
