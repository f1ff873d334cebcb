"""YAIM trees of our own making: a version in production, and updates of it, one for each case."""

from __future__ import annotations

from collections.abc import Mapping

from pps.domain.packages.patch import PackageRef
from pps.sandbox.provider.package_formats import SamplePackage

PRODUCTION: Mapping[str, str] = {
    "functions/config_bdii": """\
# config_bdii requires COMMENTED_OUT to be set; it does not
config_bdii_check () {
requires $1 BDII_HOST \\
            SITE_NAME
}
config_bdii () {
  cat <<END
  requires IN_A_DOCUMENT
END
  echo "requires IN_QUOTES"   # requires AFTER_A_COMMAND
  return 0
}
""",
    "functions/utils/requires": 'requires () {\nfor VAR in "$@"; do [ -n "${!VAR}" ] || return 1; done\n}\n',
    "defaults/glite-bdii.pre": 'BDII_PORT=2170\nBDII_USER=${BDII_USER:-"edguser"}\n# BDII_OLD_PORT=2135\n',
    "defaults/glite-bdii.post": "export BDII_URL=ldap://${BDII_HOST}:${BDII_PORT}\n",
    "services/glite-bdii": '# BDII_REGIONS="an example"\n#BDII_COMMENTED=yes\nBDII_REGIONS=\nBDII_PASSIVE="no"\n',
    "node-info.d/glite-bdii": 'BDII_site_FUNCTIONS="\nconfig_bdii\n"\nBDII_top_FUNCTIONS="config_bdii"\n',
    "functions/Makefile.am": "requires MAKE_VARIABLE\n",
    "README": "VARIABLE=of a document\n",
}


def with_lines(tree: Mapping[str, str], file: str, lines: str) -> dict[str, str]:
    """The tree with further lines in a file."""
    return {**tree, file: tree.get(file, "") + lines}


NEW_OPTIONAL = with_lines(PRODUCTION, "services/glite-bdii", "BDII_IPV6_SUPPORT=yes\n")
NEW_MANDATORY = with_lines(PRODUCTION, "functions/config_emir", "config_emir_check(){ requires BDII_EMIR_HOST; }\n")
NEW_MANDATORY_WITH_DEFAULT = with_lines(NEW_MANDATORY, "defaults/glite-bdii.pre", "BDII_EMIR_HOST=localhost\n")
CHANGED_DEFAULT = {
    **PRODUCTION,
    "defaults/glite-bdii.pre": PRODUCTION["defaults/glite-bdii.pre"].replace("2170", "2171"),
}
BECAME_MANDATORY = with_lines(PRODUCTION, "functions/config_regions", "requires BDII_REGIONS\n")
DROPPED = {**PRODUCTION, "services/glite-bdii": "BDII_REGIONS=\n"}
DROPPED_NODE = {**PRODUCTION, "node-info.d/glite-bdii": 'BDII_site_FUNCTIONS="config_bdii"\n'}
PERHAPS_NEW = with_lines(PRODUCTION, "functions/config_bdii", 'config_log () {\n  mkdir -p "$BDII_LOG_DIR"\n}\n')
NEW_NODE = with_lines(PRODUCTION, "node-info.d/glite-emir", 'EMIR_FUNCTIONS="config_bdii"\n')
MORE_COMMENTS = with_lines(
    with_lines(PRODUCTION, "services/glite-bdii", '# BDII_NEW="looks like one"\n  #BDII_NEWER=1\n'),
    "defaults/glite-bdii.pre",
    "# BDII_NEWEST=1\n",
)


def package(
    version: str,
    tree: Mapping[str, str],
    *,
    name: str = "glite-yaim-bdii",
    arch: str = "all",
    root: str = "opt/glite/yaim",
) -> SamplePackage:
    """A package with a tree where packages have it."""
    return SamplePackage(
        PackageRef(name, version, arch),
        {f"{root}/{path}": (0o644, text) for path, text in tree.items()} | {"usr/bin/tool": (0o755, "#!/bin/sh\n")},
    )
