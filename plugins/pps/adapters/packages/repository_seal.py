"""Signs the indexes of our own repositories, believes none that is not signed, and renews signatures in time.

What stands in an index is read back through its signature only, even before something is added: whoever can write
into the folder, but does not have our key, cannot make us sign his words with the next release.

A signature is written after what it signs. A reader of APT takes `InRelease`, one file; the index files that it names
stay under their digests. `repomd.xml` and its signature are two files: the signature is first put beside it under the
digest of what it signs, so that after a crash between the two we still know the index for ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from upath import UPath

from pps.adapters.packages.folders import on_disk, publish
from pps.adapters.packages.openpgp import VerifiedSignature, keys_in, sign, sign_detached, verified
from pps.domain.base.errors import ConfigurationError, PackageError, RolloutError, ServiceError
from pps.domain.packages.manifest import checked_tree_path
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.domain.packages.repository_seals import PublicKey, dated, index_digests, is_due, valid_until

#: Holds a turn at what is named, until the context ends.
Turns = Callable[[str], AbstractContextManager[None]]

UNSIGNED = "Is it from before indexes were signed, and as it should be? Then: pps keys sign --unsigned"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class RepositorySeal:
    """Our signature; the secret is asked for only when something is signed."""

    keyring: Path
    """our public keys, armoured"""
    secrets: Callable[[], tuple[bytes, ...]] = field(repr=False)
    """of the keys that sign; the first one signs YUM indexes alone: rpm's own reader looks at one signature only"""
    valid_for: timedelta
    clock: Callable[[], datetime] = field(default=_utc_now, repr=False)
    """the time at which what is read must still be valid"""
    turns: Turns | None = field(default=None, repr=False)
    """lets one at a time work on a repository whose folder cannot be locked (an object store, some network disks)"""

    @cached_property
    def public(self) -> bytes:
        """The public keys; `ConfigurationError` if there are none."""
        try:
            return self.keyring.read_bytes()
        except FileNotFoundError as error:
            raise ConfigurationError(
                "our signing key",
                "has not been made, and nothing is published unsigned.",
                "Make it: pps keys make --help",
            ) from error
        except OSError as error:
            why = f"cannot be read ({error.strerror})."
            raise ConfigurationError(str(self.keyring), why, "Check its permissions.") from error

    @cached_property
    def _secrets(self) -> tuple[bytes, ...]:
        """Of keys that are published: with others nobody could check what we sign."""
        known = {key.fingerprint for key in keys_in(self.public)}
        secrets = self.secrets()
        if missing := [k.fingerprint for secret in secrets for k in keys_in(secret) if k.fingerprint not in known]:
            raise ConfigurationError(
                "our signing key", f"{missing[0]} is not in {self.keyring}.", "Put the right one into its Connection."
            )
        return secrets

    @cached_property
    def signers(self) -> tuple[PublicKey, ...]:
        """The keys that sign, the first one first."""
        return tuple(key for secret in self._secrets for key in keys_in(secret))

    def signs_soundly(self) -> bool:
        """Sign a few words, and tell whether our own public keys find that good."""
        words = b"pps doctor\n"
        try:
            found = verified(self.public, "a sample", words, sign_detached(self._secrets, words).encode())
        except PackageError:
            return False
        return found.signers == {key.fingerprint for key in self.signers}

    def clear_signed(self, text: str) -> str:
        """A text for people, with the signature of every key that signs."""
        return sign(self._secrets, text).clear

    # --- APT -------------------------------------------------------------------------------------

    def release(self, suite: UPath, *, fresh: bool = False) -> str | None:
        """The signed text of an APT suite's Release file; None where nothing is published yet.

        Args:
            fresh: refuse one whose time is over, as APT does.

        Raises:
            ServiceError: it is not signed by us, or is too old.
        """
        found = self._release(suite)
        if found is None:
            return None
        text = found.data.decode(errors="replace")
        ends = valid_until(text)
        if fresh and (ends is None or ends <= self.clock()):
            raise ServiceError(
                f"repository {suite}",
                f"was valid until {ends:%Y-%m-%d %H:%M} UTC only." if ends else "does not say until when it is valid.",
                "Its signature was not renewed: does the nightly run work? To renew it now: pps keys sign",
            )
        return text

    def _release(self, suite: UPath) -> VerifiedSignature | None:
        signed = _content(suite / "InRelease")
        if signed is None:
            if _content(suite / "Release") is not None:
                raise ServiceError(f"repository {suite}", "has an index that is not signed.", UNSIGNED)
            return None
        return self._checked(f"{suite}/InRelease", signed)

    def apt_index(self, suite: UPath, *, fresh: bool = False) -> Mapping[str, bytes] | None:
        """Every index file of an APT suite by its name below it, each with the digest that is signed."""
        text = self.release(suite, fresh=fresh)
        return None if text is None else index_files(suite, text)

    def seal_release(
        self, suite: UPath, release: str, now: datetime, *, keep_release: bool = False, instead_of: bytes | None = None
    ) -> None:
        """Sign an APT suite's Release file, with new dates; `InRelease`, which APT takes, comes last.

        Args:
            keep_release: leave `Release` as it is, since its digest is on record elsewhere; then only `InRelease` is
                written.
            instead_of: the `InRelease` that is renewed; where somebody has published another one meanwhile, that stays.
        """
        text = dated(release, now, self.valid_for)
        made = sign(self._secrets, text)
        if instead_of is not None and _content(suite / "InRelease") != instead_of:
            return
        if not keep_release:
            publish(suite, "Release", text)
            publish(suite, "Release.gpg", made.detached)
        publish(suite, "InRelease", made.clear)

    # --- YUM -------------------------------------------------------------------------------------

    def repomd(self, root: UPath) -> bytes | None:
        """`repomd.xml`, signed by us; None where nothing is published yet. `ServiceError` otherwise."""
        data = _content(root / "repodata" / "repomd.xml")
        if data is None:
            return None
        return self._repomd(root, data).data

    def _repomd(self, root: UPath, data: bytes) -> VerifiedSignature:
        folder = root / "repodata"
        where = f"{folder}/repomd.xml"
        signatures = [s for name in _signatures(data) if (s := _content(folder / name)) is not None]
        if not signatures:
            raise ServiceError(f"repository {root}", "has an index that is not signed.", UNSIGNED)
        for signature in signatures[:-1]:
            try:
                return verified(self.public, where, data, signature)
            except PackageError:
                continue
        return self._checked(where, data, signatures[-1])

    def seal_repomd(self, root: UPath, data: bytes) -> None:
        """Write `repomd.xml` with its signature."""
        signature = sign_detached(self._secrets[:1], data)
        folder = root / "repodata"
        usual, by_digest = _signatures(data)
        publish(folder, by_digest, signature)
        publish(folder, "repomd.xml", data)
        publish(folder, usual, signature)

    # --- both ------------------------------------------------------------------------------------

    def renew(
        self, root: UPath, repository: Repository, now: datetime, *, when_left: timedelta, keep_release: bool = False
    ) -> bool:
        """Sign the same index again, if its time is nearly over or other keys sign now; tell whether that was done.

        Raises:
            ServiceError: the index is not signed by us, so it is not signed again either.
        """
        with alone(root, self.turns):
            if repository.kind is RepositoryKind.YUM:
                return self._renew_yum(root)
            return self._renew_apt(root / "dists" / repository.suite, now, when_left, keep_release)

    def _renew_apt(self, suite: UPath, now: datetime, when_left: timedelta, keep_release: bool) -> bool:
        signed = _content(suite / "InRelease")
        found = self._release(suite)
        if found is None:
            return False
        text = found.data.decode(errors="replace")
        wanted = {key.fingerprint for key in self.signers}
        # an interruption has left the three files apart
        apart = not keep_release and not self._has_pair(suite, found.data)
        if is_due(text, now, when_left) or found.signers != wanted or apart:
            self.seal_release(suite, text, now, keep_release=keep_release, instead_of=signed)
            return True
        return False

    def _has_pair(self, suite: UPath, text: bytes) -> bool:
        signature = _content(suite / "Release.gpg")
        if signature is None or _content(suite / "Release") != text:
            return False
        try:
            return bool(verified(self.public, f"{suite}/Release", text, signature).signers)
        except PackageError:
            return False

    def _renew_yum(self, root: UPath) -> bool:
        data = self.repomd(root)
        if data is None:
            return False
        usual = _content(root / "repodata" / _signatures(data)[0])
        try:
            now = verified(self.public, str(root), data, usual or b"")
        except PackageError:
            now = None
        if now is not None and now.signers == {self.signers[0].fingerprint}:
            return False
        self.seal_repomd(root, data)
        return True

    def sign_as_it_is(self, root: UPath, repository: Repository, now: datetime, *, keep_release: bool = False) -> bool:
        """Sign an index that was never signed, on the word of whoever asks; tell whether there was one."""
        with alone(root, self.turns):
            return self._sign_as_it_is(root, repository, now, keep_release)

    def _sign_as_it_is(self, root: UPath, repository: Repository, now: datetime, keep_release: bool) -> bool:
        if repository.kind is RepositoryKind.YUM:
            folder = root / "repodata"
            data = _content(folder / "repomd.xml")
            if data is None or any(_content(folder / name) is not None for name in _signatures(data)):
                return False
            self.seal_repomd(root, data)
            return True
        suite = root / "dists" / repository.suite
        release = _content(suite / "Release")
        if release is None or _content(suite / "InRelease") is not None:
            return False
        text = release.decode(errors="replace")
        index_files(suite, text)  # whatever else it may be, it is whole
        self.seal_release(suite, text, now, keep_release=keep_release)
        return True

    def problems(self, root: UPath, repository: Repository, *, if_any: bool = False) -> tuple[str, ...]:
        """What is wrong with the signature of a repository that should have one, in sentences.

        Args:
            if_any: a repository that is not there is no problem.
        """
        nothing = () if if_any else (f"{root} has no index.",)
        try:
            if repository.kind is RepositoryKind.YUM:
                data = self.repomd(root)
                if data is None:
                    return nothing
                usual = _content(root / "repodata" / _signatures(data)[0])
                self._checked(f"{root}/repodata/repomd.xml", data, usual or b"")
                return ()
            suite = root / "dists" / repository.suite
            if self.apt_index(suite, fresh=True) is None:
                return nothing
            signed = self._release(suite)
            if signed and _content(suite / "Release.gpg") is not None and not self._has_pair(suite, signed.data):
                return (f"{suite}: Release and Release.gpg are not what InRelease signs.",)
        except (ServiceError, ConfigurationError, PackageError) as error:
            return (str(error),)
        return ()

    def _checked(self, subject: str, signed: bytes, detached: bytes | None = None) -> VerifiedSignature:
        try:
            return verified(self.public, subject, signed, detached)
        except PackageError as error:
            raise ServiceError(f"repository {subject}", error.why, error.next_step) from error


@contextlib.contextmanager
def alone(root: UPath, turns: Turns | None, *, make: bool = False) -> Iterator[None]:
    """Wait until nobody else adds to this repository, or renews its signature.

    On a local disk the folder itself is locked. Where there is no such lock (an object store, NFS, which locks no
    folders) the turns are taken elsewhere; of two at once the later would write an index without the other's packages.

    Args:
        make: make the folder, if it is not there.
    """
    path = on_disk(root)
    if make and path is not None:
        path.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        if not (path is not None and _locked(path, held)) and turns is not None:
            held.enter_context(turns(f"repository {root}".rstrip("/")))
        yield


def _locked(path: Path, held: contextlib.ExitStack) -> bool:
    """Lock a folder for as long as `held` lasts; False where it cannot be locked."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        held.callback(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def index_files(suite: UPath, release: str) -> dict[str, bytes]:
    """Every index file that a Release file names, by its name below the suite; `ServiceError` for a wrong digest."""
    found = {}
    for name, (sha256, size) in index_digests(release).items():
        # by digest: the file of that name may be that of the next publication already
        data = _content(suite / checked_tree_path(name).rpartition("/")[0] / "by-hash" / "SHA256" / sha256)
        if data is None or (hashlib.sha256(data).hexdigest(), len(data)) != (sha256, size):
            raise ServiceError(
                f"repository {suite}", f"lacks the {name} that its Release names.", "Restore the backup."
            )
        found[name] = data
    return found


def _signatures(repomd: bytes) -> tuple[str, str]:
    """Names of the signature of this very `repomd.xml`: where readers look, and by its digest."""
    return "repomd.xml.asc", f"{hashlib.sha256(repomd).hexdigest()}-repomd.xml.asc"


def _content(file: UPath) -> bytes | None:
    try:
        path = on_disk(file)
        if path is not None and not stat.S_ISREG(path.lstat().st_mode):
            # a pipe would keep us for ever, and where a link leads is not ours
            raise ServiceError(f"repository file {file}", "is no plain file.", "Find out who has put it there.")
        return bytes(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except RolloutError:
        raise
    except Exception as error:
        raise ServiceError(
            f"repository file {file}", f"cannot be read ({type(error).__name__}).", "Look at: pps doctor"
        ) from error
