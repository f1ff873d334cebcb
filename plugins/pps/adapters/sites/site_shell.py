"""Which way to the sites this machine can take."""

from __future__ import annotations

import shutil

from pps.activities.ports.sites import SiteShell


def site_shell() -> SiteShell:
    """The system's OpenSSH client where it is installed, else asyncssh (imported only then: it is slow to load)."""
    if program := shutil.which("ssh"):
        from pps.adapters.sites.ssh_openssh import OpenSshShell

        return OpenSshShell(program)
    from pps.adapters.sites.ssh_asyncssh import AsyncsshShell

    return AsyncsshShell()
