"""What the provider of the sandbox publishes: sample clients that we make (real ones: real_clients.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pps.domain.base.names import checked_name
from pps.domain.packages.patch import PackageRef, RepositoryKind
from pps.sandbox.provider.package_formats import SamplePackage, write_deb, write_rpm


@dataclass(frozen=True)
class ProviderPackages:
    """Packages on the local disk, and how a patch names them."""

    packages: tuple[PackageRef, ...]
    """middleware"""
    externals: tuple[PackageRef, ...]
    files: tuple[Path, ...]


#: tool, option that asks for its version, package
_TOOLS = (
    ("voms-proxy-info", "--version", "voms-clients"),
    ("voms-proxy-init", "--version", "voms-clients"),
    ("gfal-ls", "--version", "gfal2-util-scripts"),
    ("gfal-copy", "--version", "gfal2-util-scripts"),
    ("globus-url-copy", "-version", "globus-gass-copy-progs"),
    ("grid-proxy-info", "-version", "globus-proxy-utils"),
    ("myproxy-info", "-V", "myproxy"),
)

_TOOL = """\
#!/bin/sh
# {tool} {version}, a sample made by the PPS sandbox: it tells its version and checks its surroundings.
# Like the real one it needs its library and its configuration, and finds them by environment alone.
IFS=:
for folder in ${{LD_LIBRARY_PATH-}}; do
    [ -r "$folder/libgfal2.so.2" ] && library=$folder/libgfal2.so.2 && break
done
unset IFS
if [ -z "${{library-}}" ]; then
    echo "{tool}: error while loading shared libraries: libgfal2.so.2: no such file" >&2
    exit 127
fi
if [ ! -r "${{GFAL_CONFIG_DIR-/etc/gfal2.d}}/gfal2_core.conf" ]; then
    echo "{tool}: no configuration in ${{GFAL_CONFIG_DIR-/etc/gfal2.d}}" >&2
    exit 1
fi
case "${{1-}}" in
{option} | --version) echo "{tool} {version}" ;;
*)
    echo "{tool}: this sample only tells its version" >&2
    exit 2
    ;;
esac
"""

#: As Debian's machine-readable format has it.
_COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: PPS Rollout sandbox
License: Apache-2.0
"""


def make_sample_packages(
    folder: Path, version: str, *, kind: RepositoryKind = RepositoryKind.APT, release: str = "1"
) -> ProviderPackages:
    """Make the packages of one sample client in a folder; the same arguments give the same bytes.

    They show what real ones do: tools, a configuration file, a library with a versioned link, an
    alternatives link, documentation that is left out.

    Args:
        version: upstream version of the middleware; two versions make two patches.
        kind: .deb for APT, .rpm for YUM.
    """
    checked_name(version, "version")
    folder.mkdir(parents=True, exist_ok=True)
    deb = kind is RepositoryKind.APT
    arch, full = ("all" if deb else "noarch"), f"{version}-{release}"
    library_folder = "usr/lib/x86_64-linux-gnu" if deb else "usr/lib64"
    write: Callable[[SamplePackage, Path], Path] = write_deb if deb else write_rpm

    def sample(name: str, files: dict[str, tuple[int, str]], **more: object) -> SamplePackage:
        licence = f"usr/share/doc/{name}/copyright" if deb else f"usr/share/licenses/{name}/LICENSE"
        notes = {
            licence: (0o644, _COPYRIGHT if deb else "Apache-2.0\n"),
            f"usr/share/doc/{name}/changelog": (0o644, f"{full}\n"),
        }
        return SamplePackage(PackageRef(name, full, arch), files | notes, **more)  # type: ignore[arg-type]

    middleware = []
    for name in dict.fromkeys(package for _, _, package in _TOOLS):
        tools = {t: _TOOL.format(tool=t, version=version, option=o) for t, o, p in _TOOLS if p == name}
        # as on Debian: the real name of a VOMS tool ends in 2, an alternative gives it its own
        renamed = {t: f"{t}2" if name == "voms-clients" else t for t in tools}
        files = {f"usr/bin/{renamed[t]}": (0o755, text) for t, text in tools.items()}
        calls = "".join(
            f"update-alternatives --install /usr/bin/{t} \\\n  {t} /usr/bin/{r} 50\n"
            for t, r in renamed.items()
            if t != r
        )
        script = f'#!/bin/sh\nset -e\nif [ "$1" = configure ] || [ "$1" -ge 1 ]; then\n{calls}fi\n' if calls else ""
        middleware.append(sample(name, files, install_script=script, requires=("libgfal2-2",)))
    libraries = [
        sample(
            "libgfal2-2",
            {
                f"{library_folder}/libgfal2.so.2.{version}": (0o644, f"sample library {version}\n"),
                f"{library_folder}/gfal2-plugins/libgfal_plugin_file.so": (0o644, f"sample plugin {version}\n"),
                "etc/gfal2.d/gfal2_core.conf": (0o644, "[CORE]\nCHECKSUM_TIMEOUT=1800\n"),
            },
            links={f"{library_folder}/libgfal2.so.2": f"libgfal2.so.2.{version}"},
        )
    ]
    written = tuple(write(package, folder) for package in (*middleware, *libraries))
    return ProviderPackages(tuple(p.ref for p in middleware), tuple(p.ref for p in libraries), written)
