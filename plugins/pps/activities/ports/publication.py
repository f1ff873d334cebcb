"""Where bulletin, notes, reports, logs and released tarballs are published (a port)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class PublicationFolder(Protocol):
    """A folder that others read while we write: on a disk, a network disk, or in an object store.

    Readers see the old file or the new one, never a part; two that write the same file at once do not disturb each
    other. `name` is a path below the folder. `ServiceError` where the place does not work.
    """

    def publish(self, name: str, content: str | bytes) -> bool:
        """Write a file unless it holds this very content; tell whether it was written."""

    def publish_file(self, name: str, file: Path, sha256: str) -> None:
        """Publish a local file that has the digest on record; one that is there and has another is replaced.

        `TamperedError`, and nothing is written, if the local file has not this digest.
        """

    def read(self, name: str) -> bytes | None:
        """A file, itself and no link to something else; None if there is no such file."""

    def address(self, name: str) -> str:
        """The place's own URL, for readers who get at it directly."""
