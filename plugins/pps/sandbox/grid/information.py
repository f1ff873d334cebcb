"""The one place where the information system is plugged into the grid."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from pps.sandbox.grid.site import SandboxSite

_MODULE = "pps.sandbox.grid.information_system"


async def start_information_system(
    stack: AsyncExitStack, folder: Path, sites: Iterable[SandboxSite], vos: Sequence[str], port: int
) -> bool:
    """Start the LDAP server that publishes the sites' SubClusters, tags and services; the stack ends it.

    Runs in a thread, since starting slapd waits for it. False where the module is not installed.
    """
    if importlib.util.find_spec(_MODULE) is None:
        return False
    system = importlib.import_module(_MODULE).SandboxInformationSystem(
        folder / "information-system",
        sites=[
            (s.plan.name, s.plan.subcluster, s.folder.tag_dir, s.plan.platform, 0.0, False, s.folder.services_file)
            for s in sites
        ],
        vos=list(vos),
        port=port,
    )
    await asyncio.to_thread(system.start)
    stack.push_async_callback(asyncio.to_thread, system.stop)
    return True
