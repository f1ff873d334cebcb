"""What is brought where: two versions of a client, and sites behind one real OpenSSH server on this machine."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.previews import FolderArtefacts, artefacts_in
from tests.support.sshd import SshServer, running_sshd

from pps.activities.packages.payloads import prepare_payload
from pps.activities.ports.packages import Tarball
from pps.domain.packages.manifest import Manifest

MIB = 1 << 20
#: Of the files of version 1, every so many-th is another one in version 2.
ONE_CHANGED_OF = 10
#: With more than this at the sites together, each site's copy goes when it was compared: memory holds no 300 of them.
_AT_SITES_AT_MOST = 5 << 30
#: A site that has had its version in place for so long is done with it, whoever brought it.
_DONE_AFTER_S = 3.0
#: For tools that copy by SFTP; and with a home of its own, since what an account's .bashrc costs is nobody's work here.
_SSHD = "Subsystem sftp internal-sftp\nMaxSessions 50\nSetEnv HOME={home}\n"


@dataclass(frozen=True)
class Version:
    """One version in the three shapes that are sent."""

    tarball: Tarball
    payload: Path
    """what ours sends: everything to a new site, the difference to one that has the version before"""
    plain: Path
    """all of it as an ordinary tar.gz, with a list for sha256sum -c"""
    manifest: Manifest


@dataclass(frozen=True)
class Course:
    """Sites and versions; `update`: the sites have version 1, and version 2 is brought."""

    folder: Path
    server: SshServer
    store: FolderArtefacts
    versions: tuple[Version, Version]
    sites: tuple[str, ...]
    update: bool = False
    arrived: set[str] = field(default_factory=set)
    """sites that had every byte, and were emptied since"""

    @property
    def version(self) -> Version:
        """What is brought."""
        return self.versions[self.update]

    @property
    def bytes_at_sites(self) -> int:
        return self.version.tarball.size * len(self.sites)

    def root(self, site: str) -> Path:
        return Path(self.server.site(site).preview_root)

    def place(self, site: str) -> Path:
        return self.root(site) / self.version.tarball.name

    def reset(self) -> None:
        """All sites as they were before: empty, or with version 1 (hard links to one copy of it)."""
        self.arrived.clear()
        mother = self.folder / "version-1" / self.versions[0].tarball.name
        for site in self.sites:
            root = self.root(site)
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir(parents=True)
            if self.update:
                subprocess.run(["cp", "-al", str(mother), str(root)], check=True)

    def keep_version_1(self) -> None:
        """Remember what the first site has got, for `reset`."""
        mother = self.folder / "version-1"
        mother.mkdir(exist_ok=True)
        shutil.move(self.root(self.sites[0]) / self.versions[0].tarball.name, mother)

    def check(self) -> None:
        """Whoever ran: every site has every byte."""
        for site in self.sites:
            if site not in self.arrived:
                self._compare(site)

    def _compare(self, site: str) -> None:
        for path, entry in self.version.manifest.files.items():
            if hashlib.sha256((self.place(site) / path).read_bytes()).hexdigest() != entry.sha256:
                raise SystemExit(f"{site}: {path} is not what was sent")

    @contextmanager
    def emptied_meanwhile(self) -> Iterator[None]:
        """Where all sites together would not fit into memory: compare and empty each that is done meanwhile."""
        if self.bytes_at_sites <= _AT_SITES_AT_MOST:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._empty_until, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _empty_until(self, over: threading.Event) -> None:
        since: dict[str, float] = {}
        while not over.wait(0.5):
            now = time.monotonic()
            for site in self.sites:
                if site in self.arrived or not self.place(site).exists():
                    continue
                if now - since.setdefault(site, now) > _DONE_AFTER_S:
                    self._compare(site)
                    shutil.rmtree(self.place(site))
                    self.arrived.add(site)


@contextmanager
def prepared(folder: Path, mib: int, sites: int) -> Iterator[Course]:
    """Two versions of so many MiB (random bytes), every tenth file another one, and so many sites."""
    files = 40 if mib == 1 else 400
    chance = random.Random(mib)
    first = {f"lib/part-{n}": chance.randbytes(mib * MIB // files) for n in range(files)}
    second = first | {
        path: chance.randbytes(mib * MIB // files) for n, path in enumerate(first) if n % ONE_CHANGED_OF == 0
    }
    store = artefacts_in(folder / "store")
    versions: list[Version] = []
    for number, tree in enumerate((first, second), 1):
        tarball = store.make(tree, f"{mib}.{number}")
        manifest = Manifest.parse(store.local(tarball.name, "MANIFEST").read_text())
        base = versions[0].manifest if versions else None
        payload = prepare_payload(tarball, manifest, base, store, folder / "cache")
        versions.append(Version(tarball, payload, _plain(folder, tree, manifest), manifest))
    (folder / "home").mkdir()
    with running_sshd(folder / "sshd", extra=_SSHD.format(home=folder / "home")) as server:
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
        names = tuple(f"site-{n:03}" for n in range(sites))
        for name in names:
            server.site(name)
        yield Course(folder, server, store, (versions[0], versions[1]), names)


def _plain(folder: Path, tree: dict[str, bytes], manifest: Manifest) -> Path:
    aside = folder / "plain" / manifest.name
    for path, content in tree.items():
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        (aside / path).write_bytes(content)
    (aside / ".list").write_text("".join(f"{e.sha256}  {p}\n" for p, e in manifest.files.items()))
    packed = folder / f"{manifest.name}.tar.gz"
    subprocess.run(["tar", "czf", str(packed), "-C", str(aside), "."], check=True)
    shutil.rmtree(aside)
    return packed


def ssh_options(course: Course) -> Sequence[str]:
    """For those who use the system's client: pinned host key, our key, nothing asked."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(course.folder / "known_hosts"),
        "GlobalKnownHostsFile": "none",
        "IdentitiesOnly": "yes",
        "IdentityFile": str(course.server.key_file),
        "LogLevel": "ERROR",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
