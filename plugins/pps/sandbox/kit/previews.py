"""Small client tarballs, made from a few lines, and a folder that keeps them."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upath import UPath

from pps.activities.ports.packages import Tarball
from pps.adapters.packages.artefacts import ArtefactStore
from pps.domain.packages.manifest import Manifest, ManifestEntry

#: path -> content; a str is the target of a symbolic link
Tree = Mapping[str, bytes | str]

SMALL: Tree = {
    "bin/tool": b"#!/bin/sh\necho 2\n",
    "lib/libtool.so.1": b"library" * 1000,
    "lib/libtool.so": "libtool.so.1",
    "etc/name with  blanks": b"blanks",
    "share/caf\u00e9": b"accent",
    "share/back\\slash": b"backslash",
}


def tree_manifest(tree: Tree, version: str, modes: Mapping[str, int] | None = None) -> Manifest:
    """The MANIFEST of this content; modes are 0755 in bin/, 0644 elsewhere, unless `modes` says another one."""
    entries = []
    folders: set[str] = set()
    for path, content in tree.items():
        folders |= {str(p) for p in Path(path).parents if str(p) != "."}
        if isinstance(content, str):
            entries.append(ManifestEntry(path, "l", 0o777, target=content))
        else:
            mode = (modes or {}).get(path, 0o755 if path.startswith("bin/") else 0o644)
            entries.append(ManifestEntry(path, "f", mode, len(content), hashlib.sha256(content).hexdigest()))
    entries += [ManifestEntry(f, "d", (modes or {}).get(f, 0o755)) for f in folders]
    return Manifest("client", version, (), tuple(entries))


@dataclass(frozen=True)
class FolderArtefacts(ArtefactStore):
    """The product's own store, in a folder of this disk, with previews that are made here."""

    tarballs: dict[str, Tarball] = field(default_factory=dict)
    """what was made here, in that order"""

    @property
    def folder(self) -> Path:
        """Where it is."""
        return Path(self.root.path)

    def make(self, tree: Tree, version: str, modes: Mapping[str, int] | None = None) -> Tarball:
        """Keep a tarball of this content: links and `lib/` in the external part, the rest in the middleware part."""
        manifest = tree_manifest(tree, version, modes)
        with tempfile.TemporaryDirectory(prefix="pps-preview-") as name:
            place = Path(name)
            names = (f"client-PPS-{version}.tar.gz", f"client-PPS-{version}-external.tar.gz")
            for file, external in zip(names, (False, True), strict=True):
                with tarfile.open(place / file, "w:gz") as part:
                    for path, content in sorted(tree.items()):
                        if path.startswith("lib/") == external:
                            info = tarfile.TarInfo(path)
                            if isinstance(content, str):
                                info.type, info.linkname = tarfile.SYMTYPE, content
                                part.addfile(info)
                            else:
                                info.size = len(content)
                                part.addfile(info, io.BytesIO(content))
            (place / "MANIFEST").write_text(manifest.text)
            files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in place.iterdir()}
            size = sum((place / n).stat().st_size for n in names)
            tarball = Tarball(manifest.name, manifest.digest, files, size, ())
            self.keep(tarball, place)
        self.tarballs[tarball.name] = tarball
        return tarball


def artefacts_in(folder: Path) -> FolderArtefacts:
    """A store in this folder; it is made with what is kept first."""
    return FolderArtefacts(UPath(folder), folder.parent / "cache")
