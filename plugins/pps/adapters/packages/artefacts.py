"""Implements `ports.Artefacts` on any universal path: file://, s3://, memory:// ...

```text
<root>/<tarball name>/MANIFEST, <part>.tar.gz, ...
<root>/<tarball name>/tarball.json          written last: without it nothing is there
<root>/packages/<sha256>/<file name>
```

On a local disk a folder is filled aside and renamed, so nobody ever sees half of it. Object stores
have no rename; there the marker, one object, is put when all others are.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from upath import UPath

from pps.activities.ports.packages import Tarball
from pps.adapters.packages.folders import CHUNK, aside, blocks_of, on_disk, sha256_of, write_whole
from pps.domain.base.errors import InvalidNameError, PackageError, ServiceError, TamperedError

_MARKER = "tarball.json"
_MARKER_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,199}")
_OF_NO_NAME = re.compile(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._+~-]")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ArtefactStore:
    """A store below `root`; `cache` is a local folder for copies from remote stores."""

    root: UPath
    cache: Path

    def find(self, name: str) -> Tarball | None:
        """The tarball of this name, or None."""
        marker = self.root / _named(name) / _MARKER
        with _answering(self.root):
            try:
                with marker.open("rb") as file:
                    data = file.read(_MARKER_BYTES)
            except (FileNotFoundError, NotADirectoryError):
                return None
        try:
            raw = json.loads(data)
            files = {_named(k): _digest(v) for k, v in raw["files"].items()}
            found = Tarball(
                str(raw["name"]), _digest(raw["digest"]), files, int(raw["size"]), tuple(map(str, raw["packages"]))
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TamperedError(
                f"{self.root}, {name}",
                "holds a damaged description of this tarball.",
                "Remove that folder; it will be built again.",
            ) from error
        if found.name != name:
            raise TamperedError(
                f"{self.root}, {name}",
                f"describes another tarball ({found.name[:80]}).",
                "Remove that folder; it will be built again.",
            )
        return found

    def keep(self, tarball: Tarball, folder: Path) -> None:
        """Store a tarball's files; a tarball that is there already is left as it is."""
        if self.find(tarball.name) is not None:
            return
        for file, sha256 in tarball.files.items():
            self._check(folder / _named(file), sha256)
        marker = json.dumps({**asdict(tarball), "files": dict(tarball.files)}, indent=1, sort_keys=True).encode()
        self._store(
            tarball.name,
            {f: folder / f for f in tarball.files},
            (_MARKER, marker),
            lambda: self.find(tarball.name) is not None,
        )

    def local(self, name: str, file: str) -> Path:
        """A local, verified copy of one file of a tarball."""
        sha256 = self._listed(name, file)
        return self._verified(self.root / name / file, self.cache / name / file, sha256)

    def open(self, name: str, file: str) -> BinaryIO:
        """Read one file of a tarball, verified."""
        return self.local(name, file).open("rb")

    def keep_package(self, path: Path, sha256: str) -> None:
        """Store a package file under its digest."""
        self._check(path, _digest(sha256))
        # the digest names it; providers' own names hold what not every store takes (%3a, ^, @, blanks)
        folder, name = f"packages/{sha256}", _named(_OF_NO_NAME.sub("_", path.name)[-200:].lstrip("._+~-") or "package")

        def there() -> bool:
            try:
                with (self.root / folder / name).open("rb") as file:
                    return sha256_of(file) == sha256
            except (FileNotFoundError, NotADirectoryError):
                return False

        with _answering(self.root):
            if there():
                return
        self._store(folder, {name: path}, None, there)

    def local_package(self, sha256: str) -> Path:
        """A local, verified copy of a package file, under its own name."""
        folder = self.root / "packages" / _digest(sha256)
        with _answering(self.root):
            try:
                names = [p.name for p in folder.iterdir() if _NAME.fullmatch(p.name)]
            except (FileNotFoundError, NotADirectoryError):
                names = []
        if not names:
            raise TamperedError(f"package {sha256}", "is not in the artefact store.", "Restore it from the backup.")
        return self._verified(folder / names[0], self.cache / "packages" / sha256 / names[0], sha256)

    # --- inside ----------------------------------------------------------------------------

    @property
    def _disk(self) -> Path | None:
        """The root as a local folder, if it is one."""
        return on_disk(self.root)

    def _listed(self, name: str, file: str) -> str:
        tarball = self.find(name)
        if tarball is None or file not in tarball.files:
            raise PackageError(f"{name}, {file[:80]}", "is not in the artefact store.", "Build the tarball again.")
        return tarball.files[file]

    def _check(self, path: Path, sha256: str) -> None:
        with path.open("rb") as file:
            if sha256_of(file) != sha256:
                raise PackageError(
                    path.name, "does not have the digest that it is to be kept under.", "Build it again."
                )

    def _verified(self, remote: UPath, cached: Path, sha256: str) -> Path:
        """A local file with this digest: in place on a local disk, else from the cache or downloaded into it."""
        if self._disk is not None:
            cached = Path(remote.path)
        if cached.is_file():
            with cached.open("rb") as file:
                if sha256_of(file) == sha256:
                    return cached
        if self._disk is None:
            cached.parent.mkdir(parents=True, exist_ok=True)
            with aside(cached) as part:
                with _answering(self.root), part.open("xb") as to, _or_nothing(remote) as source:
                    shutil.copyfileobj(source, to, CHUNK)
                with part.open("rb") as file:
                    if sha256_of(file) != sha256:
                        raise self._damaged(remote)
            return cached
        raise self._damaged(remote)

    def _damaged(self, remote: UPath) -> TamperedError:
        return TamperedError(
            f"{self.root}, {remote.name}",
            "is damaged or missing in the artefact store.",
            "Find out who changed it. Restore it, or remove its folder and build it again.",
        )

    def _store(
        self, place: str, files: dict[str, Path], marker: tuple[str, bytes] | None, there: Callable[[], bool]
    ) -> None:
        with _answering(self.root):
            if (disk := self._disk) is not None:
                _store_on_disk(disk, place, files, marker, there)
                return
            target = self.root / place
            for name, path in files.items():
                write_whole(target / name, blocks_of(path))
            if marker is not None:
                write_whole(target / marker[0], [marker[1]])


def _store_on_disk(
    root: Path, place: str, files: dict[str, Path], marker: tuple[str, bytes] | None, there: Callable[[], bool]
) -> None:
    target = root / place
    target.parent.mkdir(parents=True, exist_ok=True)
    filled = Path(tempfile.mkdtemp(dir=root, prefix=".aside-"))
    try:
        filled.chmod(0o755)
        for name, path in files.items():
            shutil.copyfile(path, filled / name)
        if marker is not None:
            (filled / marker[0]).write_bytes(marker[1])
        for path in filled.iterdir():
            path.chmod(0o644)
        if target.exists() and not there():  # left by a crash of an older version, or damaged
            shutil.rmtree(target)
        try:
            filled.rename(target)
        except OSError:
            if not there():  # another builder was faster: the same content, so his will do
                raise
    finally:
        shutil.rmtree(filled, ignore_errors=True)


def _or_nothing(remote: UPath) -> BinaryIO:
    try:
        return remote.open("rb")
    except FileNotFoundError:
        return io.BytesIO()


@contextlib.contextmanager
def _answering(root: UPath) -> Iterator[None]:
    """Turn whatever a store's driver throws into `ServiceError`."""
    try:
        yield
    except (PackageError, ServiceError):
        raise
    except Exception as error:
        raise ServiceError(
            f"artefact store {root}",
            f"does not work ({type(error).__name__}: {str(error)[:200]}).",
            "Check artefact_store in service.yaml.",
        ) from error


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"name {name[:80]!r}", "may not stand in the artefact store.", "Correct it where it was entered."
        )
    return name


def _digest(value: object) -> str:
    if not (isinstance(value, str) and _DIGEST.fullmatch(value)):
        raise ValueError(f"{str(value)[:80]!r} is no sha256")
    return value
