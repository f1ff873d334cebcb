"""Puts a small file into the publication folder: look, compare, replace."""

from __future__ import annotations

import os
import uuid
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
    if getattr(folder, "protocol", "") == "file":  # UPath("file:///..."): a local folder behind another name
        folder = Path(folder.path)
    target = folder / name
    try:
        if target.read_bytes() == data:
            return False
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(target, Path):
        target.write_bytes(data)
        return True
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o644)  # whoever serves the folder reads it, whatever our umask is
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return True
