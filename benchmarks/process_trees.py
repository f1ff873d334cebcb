"""What the components of an installation use: CPU and memory of process trees. Linux only."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil


@dataclass
class Usage:
    """Of each component, with all that it started, over a stretch of time."""

    seconds: float = 0.0
    cpu_percent: dict[str, float] = field(default_factory=dict)
    """user + system, of one core"""
    pss_mib: dict[str, float] = field(default_factory=dict)
    """at the end"""


def tree(root: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    process = psutil.Process(root)
    return [process, *process.children(recursive=True)]


def cpu_s(root: int) -> float:
    """CPU seconds of a tree so far; what a child has used that ended is in its parent's account."""
    used = 0.0
    for process in tree(root):
        with suppress(psutil.NoSuchProcess):
            used += sum(process.cpu_times()[:4])  # user, system, and those of ended children
    return used


def pss_mib(root: int) -> float:
    """Memory of a tree, each shared page split among those who share it."""
    held = 0
    for process in tree(root):
        with suppress(psutil.NoSuchProcess):
            held += process.memory_full_info().pss
    return held / (1 << 20)


@contextmanager
def measured(roots: Mapping[str, int]) -> Iterator[Usage]:
    """What these trees use while the block runs; filled in at its end."""
    usage = Usage()
    before = {name: cpu_s(root) for name, root in roots.items()}
    began = time.monotonic()
    yield usage
    after = {name: cpu_s(root) for name, root in roots.items()}
    usage.seconds = time.monotonic() - began
    usage.cpu_percent = {name: 100 * (after[name] - before[name]) / usage.seconds for name in roots}
    usage.pss_mib = {name: pss_mib(root) for name, root in roots.items()}
