"""The demo's patch: a backward-compatible client update, ready for preview (SD 4.1.1)."""

from __future__ import annotations

from collections.abc import Sequence

from pps.activities.ports.tracker import Tracker
from pps.domain.packages.patch import Bug, Case, PackageRef, Patch, PatchState, Repository, Severity
from pps.domain.sites.site import Platform

NUMBER = 4711
METAPACKAGE = "glite-WN"
VERSION = "3.1.23"

_RELEASE_NOTES = """\
Updated worker node clients.

- Proxy renewal no longer fails when the proxy has less than ten minutes left.
- Copies over IPv6 fall back to IPv4 where the storage element refuses them.
- Listing a directory with more than 10,000 entries takes seconds, not minutes.
- The help texts name the environment variables that the tools read.

The clients work with the servers now in production. Nothing has to be configured."""
# Mailboxes of roles: the bugs were reported by VOs' support lists, as is fitting for a demo.
_BUGS = (
    Bug(28731, "Proxy renewal fails within the last ten minutes", Severity.MAJOR, "atlas-software@example.org"),
    Bug(29044, "Copy hangs on storage elements without IPv6", Severity.NORMAL, "cms-data-transfers@example.org"),
    Bug(29102, "Listing of large directories is slow", Severity.NORMAL, "lhcb-production@example.org"),
    Bug(29377, "Help texts do not name environment variables", Severity.MINOR, "biomed-users@example.org"),
)

_TEST_CASES = (
    Case("renew-proxy", "A proxy is renewed while a job runs", "Submit a job that runs longer than its proxy lives."),
)


def demo_patch(
    repository: Repository,
    packages: Sequence[PackageRef],
    externals: Sequence[PackageRef] = (),
    *,
    platform: Platform,
    number: int = NUMBER,
    version: str = VERSION,
) -> Patch:
    """The patch, "In certification" and flagged by SA3, as the Release Manager finds it.

    Args:
        packages: the middleware itself; `externals` is what it brings along. Both must be in `repository`.
        platform: that of the sandbox's sites; install-tested, so that the patch may go to production.
    """
    return Patch(
        number=number,
        title=f"{METAPACKAGE} {version}: proxy renewal and transfer fixes",
        state=PatchState.IN_CERTIFICATION,
        metapackage=METAPACKAGE,
        version=version,
        platforms=(platform,),
        repository=repository,
        packages=tuple(packages),
        externals=tuple(externals),
        bugs=_BUGS,
        test_cases=_TEST_CASES,
        release_notes=_RELEASE_NOTES,
        basic_certification_passed=True,
        install_tested=(platform,),
        programming_ph=12,
    )


def submit(tracker: Tracker, patch: Patch) -> None:
    """Enter the patch; once more changes nothing."""
    tracker.enter(patch)
