"""A sample of YAIM for clients, in two versions: what is in production, and an update with a new mandatory variable.

As much of YAIM as its own functions need: `requires`, defaults, node types, and the command that runs them.
"""

from __future__ import annotations

from pathlib import Path

from pps.domain.packages.patch import PackageRef
from pps.sandbox.provider.package_formats import SamplePackage, write_deb

NAME = "glite-yaim-clients"
IN_PRODUCTION, UPDATE = "5.0.4-1", "5.1.0-1"
NEW_VARIABLE, NEW_OPTIONAL = "GLITE_SD_PLUGIN", "GLITE_SD_TIMEOUT"

_ROOT = "opt/glite/yaim"

_COMMAND = r"""#!/bin/bash
# yaim, a sample made by the PPS sandbox.  yaim -c -s <site-info.def> -n <node type>
root=$(cd "$(dirname "$0")/.." && pwd)
while getopts cs:n: option; do
    case $option in
    c) ;;
    s) site_info=$OPTARG ;;
    n) node=$OPTARG ;;
    *) exit 2 ;;
    esac
done
if [ -z "$node" ] || [ ! -r "$site_info" ]; then
    echo "ERROR: usage: yaim -c -s <site-info.def> -n <node type>" >&2
    exit 2
fi
set -a
. "$root/defaults/${node,,}.pre"
. "$site_info"
set +a
. "$root/node-info.d/${node,,}"
for file in "$root"/functions/utils/* "$root"/functions/config_*; do
    . "$file"
done
functions=${node#glite-}_FUNCTIONS
for function in ${!functions}; do
    echo "INFO: Executing function: ${function}_check"
    "${function}_check" || exit 1
done
for function in ${!functions}; do
    echo "INFO: Executing function: $function"
    "$function" || exit 1
done
echo "INFO: Configuration complete."
"""

_REQUIRES = r"""# requires VARIABLE...: each must be set
requires () {
    for variable in "$@"; do
        if [ -z "${!variable}" ]; then
            echo "ERROR: $variable is not set in site-info.def, and it has no default." >&2
            return 1
        fi
    done
}
"""

_ENVIRONMENT = r"""config_glite_env_check () {
    requires SITE_NAME
}
config_glite_env () {
    mkdir -p /etc/profile.d
    printf 'export GLITE_TMP=%s\n' "$GLITE_TMP" >/etc/profile.d/glite-env.sh
}
"""

_DISCOVERY = r"""config_sd_client_check () {
    requires GLITE_SD_PLUGIN
}
config_sd_client () {
    mkdir -p /etc/profile.d
    printf 'export GLITE_SD_PLUGIN=%s\nexport GLITE_SD_TIMEOUT=%s\n' \
        "$GLITE_SD_PLUGIN" "${GLITE_SD_TIMEOUT:-30}" >/etc/profile.d/glite-sd.sh
}
"""

_SERVICES = '# Read by worker nodes.\nSITE_NAME="MY-SITE"\n'
_NEW_SERVICES = """\
# Which service discovery the clients ask: bdii, file, or both, separated by a comma. Must be set.
GLITE_SD_PLUGIN="bdii,file"
# Seconds to wait for its answer.
GLITE_SD_TIMEOUT=30
"""


def yaim_files(version: str) -> dict[str, str]:
    """Path -> text of the files of a version, as packages have them."""
    is_update = version == UPDATE
    functions = "config_glite_env config_sd_client" if is_update else "config_glite_env"
    files = {
        "bin/yaim": _COMMAND,
        "functions/utils/requires": _REQUIRES,
        "functions/config_glite_env": _ENVIRONMENT,
        "defaults/glite-wn.pre": "GLITE_TMP=${GLITE_TMP:-/tmp}\n",
        "services/glite-wn": _SERVICES + (_NEW_SERVICES if is_update else ""),
        "node-info.d/glite-wn": f'WN_FUNCTIONS="{functions}"\n',
    }
    if is_update:
        files["functions/config_sd_client"] = _DISCOVERY
    return {f"{_ROOT}/{path}": text for path, text in files.items()}


def write_yaim_package(folder: Path, version: str) -> tuple[PackageRef, Path]:
    """Write a version as a Debian package; the same version gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {path: (0o755 if "/bin/" in path else 0o644, text) for path, text in yaim_files(version).items()}
    package = SamplePackage(PackageRef(NAME, version, "all"), files, summary="sample of YAIM for grid clients")
    return package.ref, write_deb(package, folder)


CONFIGURATION = """\
The clients ask a service discovery now, so every site has to say which one: `GLITE_SD_PLUGIN` is bdii, file, or
both, separated by a comma. `GLITE_SD_TIMEOUT` (seconds, 30 if it is not set) is optional.

```sh
mkdir -p /root/siteinfo
cat >/root/siteinfo/site-info.def <<'END'
SITE_NAME="MY-SITE"
GLITE_SD_PLUGIN="bdii,file"
END
/opt/glite/yaim/bin/yaim -c -s /root/siteinfo/site-info.def -n glite-WN
```

Then every new shell knows it:

```sh
. /etc/profile.d/glite-sd.sh
test "$GLITE_SD_PLUGIN" = bdii,file
```
"""

#: The same notes before somebody followed them: the new variable is told, but not set.
INCOMPLETE_CONFIGURATION = CONFIGURATION.replace('GLITE_SD_PLUGIN="bdii,file"\n', "", 1)
