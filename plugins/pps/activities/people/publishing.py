"""Puts a small file into the publication folder: look, compare, replace."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def publish(folder: Any, name: str, content: str | bytes) -> bool:
    """Write `folder/name` unless it holds this very content; tell whether it was written.

    Readers see the old file or the new one, never a part: a local file is written aside and
    renamed, an object store replaces objects whole.

    Args:
        folder: pathlib.Path, or a pathlib-like path of an object store (UPath, ObjectStoragePath).
    """
    data = content.encode() if isinstance(content, str) else content
    target = folder / name
    try:
        if target.read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    write_whole(target, [data])
    return True


def write_whole(target: Any, content: Iterable[bytes]) -> None:
    """Write a file as a whole: aside under a name of its own and renamed, on a disk; an object store takes all or none.

    Two that write the same file at once do not disturb each other. Whatever ends the content early leaves nothing on
    a disk; for an object store it must have been looked at before.
    """
    if not isinstance(target, Path) and getattr(target, "protocol", "") not in ("", "file", "local"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for data in content:
                file.write(data)
        return
    path = Path(getattr(target, "path", target))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name[:200]}.{uuid.uuid4().hex[:8]}.part")
    try:
        with aside.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o644)  # whoever serves the folder reads it, whatever our umask is
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
