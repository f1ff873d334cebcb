"""A preview as the receiver leaves it at a site, and the site around it: small, made of real files."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pps.activities.ports.packages import Tarball
from pps.activities.sites.script import load_script
from pps.domain.packages.manifest import Manifest, ManifestEntry, ManifestPackage
from pps.domain.packages.patch import PackageRef
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Platform, Site, SshEndpoint

NOW = datetime(2009, 3, 2, 12, tzinfo=UTC)

GRID_ENV_SH = r"""
if [ -r "%(here)s/.pps-site" ]; then read -r pps_site <"%(here)s/.pps-site"; else pps_site=/etc/profile.d; fi
for pps_file in "$pps_site"/*.sh; do if [ -r "$pps_file" ]; then . "$pps_file"; fi; done
PPS_PREFIX="%(here)s"; PATH="%(here)s/bin:$PATH"; LD_LIBRARY_PATH="%(here)s/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export PPS_PREFIX PATH LD_LIBRARY_PATH
"""
GRID_ENV_CSH = r"""
set nonomatch
foreach pps_file (`cat %(here)s/.pps-site`/*.csh)
  if (-r "$pps_file") source "$pps_file"
end
setenv PPS_PREFIX %(here)s
setenv PATH %(here)s/bin:${PATH}
"""


def make_site(root: Path, name: str = "EXAMPLE-SITE") -> Site:
    """A site with a production client and settings of its own under `root`."""
    for folder in ("pps", "glite/bin", "profile.d", "info"):
        (root / folder).mkdir(parents=True)
    (root / "glite/bin/voms-proxy-info").write_text("#!/bin/sh\necho production\n")
    (root / "glite/bin/voms-proxy-info").chmod(0o755)
    (root / "profile.d/grid.sh").write_text(
        f"export GLITE_LOCATION={root}/glite MYPROXY_SERVER=myproxy.example.org\n"
        f"PATH={root}/glite/bin:$PATH\nexport PATH\n"
    )
    (root / "profile.d/grid.csh").write_text(f"setenv GLITE_LOCATION {root}/glite\n")
    return Site(
        name=name,
        roc="Example",
        platform=Platform("debian12", "amd64"),
        ssh=SshEndpoint("localhost", 22, "pps", "ssh-ed25519 AAAA"),
        preview_root=str(root / "pps"),
        production_root=str(root / "glite"),
        profile_d=str(root / "profile.d"),
        tag_dir=str(root / "info"),
        subcluster=f"ce.{name.lower()}.example.org",
        contact="a@example.org",
    )


@dataclass
class Preview:
    """An installed preview."""

    site: Site
    tarball: Tarball
    tree: Path
    production_digest: str

    def record(self, *more: Fact) -> Rollout:
        """A rollout that has this preview installed."""
        installed = Fact(
            "bc-client-1-1",
            FactKind.PREVIEW_INSTALLED,
            self.site.name,
            "run",
            NOW,
            "test",
            {"production_before": self.production_digest},
        )
        return Rollout("bc-client-1-1", (installed, *more))


def tool(version: str, name: str) -> str:
    return f"#!/bin/sh\necho '{name} version {version}'\n"


def fill_tree(tree: Path) -> None:
    """A client with scripts and real ELF files, `here` still to be told."""
    for folder in ("bin", "lib", "etc/profile.d", "share/doc"):
        (tree / folder).mkdir(parents=True)
    for name, version in (("voms-proxy-info", "2.1.0"), ("myproxy-info", "6.2"), ("gfal-ls", "1.8.0")):
        (tree / "bin" / name).write_text(tool(version, name))
        (tree / "bin" / name).chmod(0o755)
    shutil.copy("/usr/bin/true", tree / "bin/grid-true")
    library = next(
        p for p in sorted(Path("/usr/lib").glob("*/libz.so.1")) + sorted(Path("/usr/lib").glob("*/liblzma.so.5"))
    )
    shutil.copy(library.resolve(), tree / "lib/libgrid.so.1")
    (tree / "lib/libgrid.so").symlink_to("libgrid.so.1")
    (tree / "share/doc/a file with blanks & 'quotes'.txt").write_text("x\n")
    (tree / "share/doc/b\\ack").write_text("y\n")


PACKAGES = (
    ManifestPackage("middleware", PackageRef("voms-clients", "2.1.0-3", "amd64"), "0" * 64),
    ManifestPackage("middleware", PackageRef("myproxy", "6.2.14-2+b2", "amd64"), "0" * 64),
    ManifestPackage("middleware", PackageRef("gfal2-util-scripts", "1:1.8.0-1.el9", "noarch"), "0" * 64),
)


def seal(tree: Path, packages: tuple[ManifestPackage, ...] = PACKAGES) -> Manifest:
    """Write MANIFEST and .pps-ok of what is in the tree now."""
    entries = []
    for path in sorted(tree.rglob("*")):
        relative = str(path.relative_to(tree))
        if relative in ("MANIFEST", ".pps-ok", ".pps-site"):
            continue
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            entries.append(ManifestEntry(relative, "l", 0o777, 0, "", str(path.readlink())))
        elif path.is_dir():
            entries.append(ManifestEntry(relative, "d", mode))
        else:
            data = path.read_bytes()
            entries.append(ManifestEntry(relative, "f", mode, len(data), hashlib.sha256(data).hexdigest()))
    manifest = Manifest("glite-WN", "3.1.23", packages, tuple(entries))
    (tree / "MANIFEST").write_text(manifest.text)
    (tree / ".pps-ok").write_text(manifest.digest + "\n")
    return manifest


def install_preview(
    site: Site,
    name: str = "glite-WN-3.1.23-PPS-0123456789ab",
    *,
    change: Callable[[Path], object] = lambda tree: None,
    packages: tuple[ManifestPackage, ...] = PACKAGES,
) -> Preview:
    """Install a preview at a site; `change` may spoil the tree before it is sealed."""
    tree = Path(site.preview_root) / name
    fill_tree(tree)
    (tree / ".pps-site").write_text(site.profile_d + "\n")
    here = {"here": str(tree)}
    (tree / "etc/profile.d/grid-env.sh").write_text(GRID_ENV_SH % here)
    (tree / "etc/profile.d/grid-env.csh").write_text(GRID_ENV_CSH % here)
    for folder, _, files in os.walk(tree):
        for file in files:
            path = Path(folder) / file
            if not path.is_symlink() and path.suffix in (".sh", ".csh", ".txt"):
                path.chmod(0o644)
    change(tree)
    manifest = seal(tree, packages)
    before = digest_of(Path(site.production_root))
    return Preview(site, Tarball(name, manifest.digest, {}, 0, ()), tree, before)


def digest_of(folder: Path, path: str = "/usr/bin:/bin", how: str = "names") -> str:
    """What production_digest.sh says of a folder."""
    script = load_script("production_digest.sh") + 'production_digest "$1" "$2"'
    command = ["sh", "-c", script, "sh", str(folder), how]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=True).stdout.strip()
