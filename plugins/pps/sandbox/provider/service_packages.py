"""A sample of a grid service as its developers package it, one version after the other, for pilots.

The daemon itself is played by the site (`pilot_service`); the packages are what a deployment test can install,
configure and start from.
"""

from __future__ import annotations

from pathlib import Path

from pps.domain.base.names import checked_name
from pps.domain.packages.patch import PackageRef
from pps.sandbox.provider.package_formats import SamplePackage, write_deb
from pps.sandbox.provider.packages import ProviderPackages

METAPACKAGE = "glite-WMS"
PARAMETER = "proxy_renewal_margin"
FILE = "workload_manager.conf"

_MANAGER = """\
#!/bin/sh
# glite-wms-manager {version}, a sample made by the PPS sandbox: it tells its version and checks its configuration.
case "${{1-}}" in
--version) echo "glite-wms-manager {version}" ;;
--check)
    for parameter in {needed}; do
        if ! grep -q "^$parameter = [0-9]" /etc/glite-wms/{file}; then
            echo "ERROR: $parameter is not set in /etc/glite-wms/{file}" >&2
            exit 1
        fi
    done
    echo "The configuration is complete."
    ;;
*)
    echo "usage: glite-wms-manager --version | --check" >&2
    exit 2
    ;;
esac
"""
_PURGER = '#!/bin/sh\n# a sample made by the PPS sandbox\necho "glite-wms-purger {version}"\n'


def make_service_packages(folder: Path, version: str, *, new_parameter: bool = False) -> ProviderPackages:
    """Make the packages of one version in a folder; the same arguments give the same bytes.

    Args:
        new_parameter: this version needs a parameter that its configuration file does not set yet.
    """
    checked_name(version, "version")
    folder.mkdir(parents=True, exist_ok=True)
    needed = f"max_jobs {PARAMETER}" if new_parameter else "max_jobs"
    contents = {
        "glite-wms-manager": {
            "usr/sbin/glite-wms-manager": (0o755, _MANAGER.format(version=version, needed=needed, file=FILE)),
            f"etc/glite-wms/{FILE}": (0o644, "max_jobs = 5000\n"),
        },
        "glite-wms-purger": {"usr/sbin/glite-wms-purger": (0o755, _PURGER.format(version=version))},
    }
    packages = [
        SamplePackage(PackageRef(name, f"{version}-1", "all"), files, summary="sample of a grid service")
        for name, files in contents.items()
    ]
    return ProviderPackages(tuple(p.ref for p in packages), (), tuple(write_deb(p, folder) for p in packages))


#: Configuration section of the release notes of a version with the new parameter.
CONFIGURATION = f"""\
The manager renews the proxies of waiting jobs by itself now. `{PARAMETER}` says how many seconds before the end of
a proxy; it has no default.

```sh
echo '{PARAMETER} = 300' >>/etc/glite-wms/{FILE}
glite-wms-manager --check
```
"""
