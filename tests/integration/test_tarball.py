"""SD 4.1.1, step 1: creation of the tarball, from packages over HTTP to a client that runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import signing
from tests.support.archives import REF, deb_of, member
from tests.support.desks import at_desk
from tests.support.http_folder import serving
from tests.support.memory_facts import MemoryFacts
from tests.support.provider import LIMITS, NOW, Provider, apt_provider, provider  # noqa: F401
from upath import UPath

from pps.activities.packages.tarball import build_tarball, ensure_tarball
from pps.activities.ports.packages import PackageReader, Tarball, TarballLimits
from pps.adapters.packages.package_files import PackageFiles
from pps.adapters.packages.production_packages import ProductionFolder
from pps.adapters.packages.repository_writer import publish_packages
from pps.config.patch_documents import parse_patch, patch_document
from pps.domain.base.errors import HostileArchiveError, PackageError
from pps.domain.packages.manifest import Manifest
from pps.domain.packages.patch import PackageRef, Patch, RepositoryKind
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.sandbox.provider.package_formats import SamplePackage, write_deb, write_rpm
from pps.sandbox.provider.real_clients import fetch_real_clients


def unpacked(tarball: Tarball, provider: Provider, to: Path) -> Path:
    """What a site has: both parts in one prefix, with MANIFEST."""
    store = provider.store()
    to.mkdir(parents=True)
    for name in tarball.files:
        path = store.local(tarball.name, name)
        if name == "MANIFEST":
            shutil.copy(path, to)
        else:
            subprocess.run(["tar", "-xzf", path, "-C", to], check=True, timeout=120)
    return to


def manifest_of(tarball: Tarball, provider: Provider) -> Manifest:
    return Manifest.parse(provider.store().local(tarball.name, "MANIFEST").read_text())


def run_in(prefix: Path, shell: Sequence[str], commands: str, **environment: str) -> str:
    """What commands say in a clean shell that has sourced the client's environment."""
    suffix = "csh" if "csh" in shell[0] else "sh"
    source = "source" if suffix == "csh" else "."
    line = f'{source} "{prefix}/etc/profile.d/grid-env.{suffix}"\n{commands}\n'
    done = subprocess.run(
        [*shell, "-c", line],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.sd("4.1.1", step=1)
def test_a_patch_becomes_a_tarball_in_two_parts_with_a_manifest_of_every_file(
    provider: Provider, tmp_path: Path
) -> None:
    _, patch = provider.publish_sample()
    tarball = provider.build(patch)
    manifest = manifest_of(tarball, provider)
    assert tarball.name == manifest.name == f"glite-WN-3.1.23-PPS-{tarball.digest[:12]}"
    assert set(tarball.files) == {"MANIFEST", "glite-WN-PPS-3.1.23.tar.gz", "glite-WN-PPS-3.1.23-external.tar.gz"}
    prefix = unpacked(tarball, provider, tmp_path / "prefix")
    listed = {e.path: e for e in manifest.entries}
    there = {str(p.relative_to(prefix)): p for p in prefix.rglob("*")}
    there.pop("MANIFEST")
    assert listed.keys() == there.keys()
    for name, path in there.items():
        entry = listed[name]
        if path.is_symlink():
            assert (entry.kind, entry.target) == ("l", str(path.readlink()))
            assert path.exists(), "no link leads to nothing"
        elif path.is_dir():
            assert (entry.kind, path.stat().st_mode & 0o7777) == ("d", 0o755)
        else:
            data = path.read_bytes()
            assert (entry.kind, entry.size, entry.sha256) == ("f", len(data), hashlib.sha256(data).hexdigest())
            assert path.stat().st_mode & 0o7777 == entry.mode
    assert [(p.part, p.ref) for p in manifest.packages] == [
        *(("middleware", ref) for ref in sorted(patch.packages, key=lambda r: r.name)),
        *(("external", ref) for ref in patch.externals),
    ]


def test_middleware_and_external_files_lie_in_their_own_parts(provider: Provider) -> None:
    _, patch = provider.publish_sample()
    tarball = provider.build(patch)
    names = {}
    for file in tarball.files:
        if file.endswith(".tar.gz"):
            with tarfile.open(provider.store().local(tarball.name, file)) as archive:
                names[file] = set(archive.getnames())
    middleware, external = names["glite-WN-PPS-3.1.23.tar.gz"], names["glite-WN-PPS-3.1.23-external.tar.gz"]
    assert {
        "bin/gfal-ls",
        "bin/voms-proxy-info",
        "etc/profile.d/grid-env.sh",
        "etc/profile.d/grid-env.csh",
    } <= middleware
    assert {"lib/libgfal2.so.2", "lib/libgfal2.so.2.3.1.23", "etc/gfal2.d/gfal2_core.conf"} <= external
    assert {n for n in middleware & external if not n.startswith(("etc", "share"))} == set()
    assert not any(n.endswith("changelog") for n in middleware | external)


SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["sh", "-eu"], ["bash", "-eu"]]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_client_runs_from_a_moved_prefix_by_environment_alone(
    apt_provider: Provider, tmp_path: Path, shell: list[str]
) -> None:
    _, patch = apt_provider.publish_sample()
    unpacked(apt_provider.build(patch), apt_provider, tmp_path / "first")
    prefix = (tmp_path / "first").rename(tmp_path / "moved with a blank")
    said = run_in(
        prefix, shell, "voms-proxy-info --version; gfal-ls --version; command -v globus-url-copy; echo $PPS_PREFIX"
    )
    assert said.splitlines() == [
        "voms-proxy-info 3.1.23",
        "gfal-ls 3.1.23",
        f"{prefix}/bin/globus-url-copy",
        str(prefix),
    ]
    # sourced in a subshell, where a shell's own process number is its parent's
    assert run_in(
        prefix, shell, f'(unset PPS_PREFIX; . "{prefix}/etc/profile.d/grid-env.sh"; echo $PPS_PREFIX)'
    ).strip() == str(prefix)


@pytest.mark.parametrize("shell", [["dash"], ["bash"]], ids=" ".join)
def test_a_preview_inherits_the_site_s_settings_and_comes_in_front(
    apt_provider: Provider, tmp_path: Path, shell: list[str]
) -> None:
    _, patch = apt_provider.publish_sample()
    prefix = unpacked(apt_provider.build(patch), apt_provider, tmp_path / "prefix")
    site = tmp_path / "profile.d"
    site.mkdir()
    (site / "10-site.sh").write_text(
        "export LCG_GFAL_INFOSYS=bdii.example.org:2170 GFAL_CONFIG_DIR=/old\n"
        "export PATH=/opt/glite/bin:$PATH LD_LIBRARY_PATH=/opt/glite/lib\n"
    )
    # a site that sources every client's environment must not go round in a circle
    (site / "20-preview.sh").write_text(f". {prefix}/etc/profile.d/grid-env.sh\n")
    (prefix / ".pps-site").write_text(f"{site}\n")
    said = run_in(
        prefix,
        shell,
        'printenv LCG_GFAL_INFOSYS GFAL_CONFIG_DIR PATH LD_LIBRARY_PATH; set | grep "^_pps" || :',
    )
    assert said.splitlines() == [
        "bdii.example.org:2170",
        f"{prefix}/etc/gfal2.d",
        f"{prefix}/bin:/opt/glite/bin:/usr/bin:/bin",
        f"{prefix}/lib:/opt/glite/lib",
    ]


def test_sourcing_twice_is_sourcing_once_and_the_second_preview_wins(apt_provider: Provider, tmp_path: Path) -> None:
    _, patch = apt_provider.publish_sample()
    tarball = apt_provider.build(patch)
    one, two = (unpacked(tarball, apt_provider, tmp_path / n) for n in ("one", "two"))
    empty = tmp_path / "empty"
    empty.mkdir()
    for prefix in (one, two):
        (prefix / ".pps-site").write_text(f"{empty}\n")
    again = f". {one}/etc/profile.d/grid-env.sh; echo $PATH"
    assert run_in(one, ["dash"], again).strip() == f"{one}/bin:/usr/bin:/bin"
    assert run_in(two, ["dash"], again).strip() == f"{one}/bin:{two}/bin:/usr/bin:/bin"


# tcsh comes with the Debian packages of this group
@pytest.mark.needs("apt")
def test_csh_users_get_the_same_environment(apt_provider: Provider, tmp_path: Path) -> None:
    _, patch = apt_provider.publish_sample()
    prefix = unpacked(apt_provider.build(patch), apt_provider, tmp_path / "a prefix")
    site = tmp_path / "profile.d"
    site.mkdir()
    for suffix, line in (("sh", "export SITE_NAME=PIC"), ("csh", "setenv SITE_NAME PIC")):
        (site / f"10-site.{suffix}").write_text(f"{line}\n")
    (prefix / ".pps-site").write_text(f"{site}\n")
    names = [
        "PATH",
        "LD_LIBRARY_PATH",
        "MANPATH",
        "PYTHONPATH",
        "PERL5LIB",
        "GFAL_PYTHONBIN",
        "GFAL_PLUGIN_DIR",
        "GFAL_CONFIG_DIR",
        "GLOBUS_LOCATION",
        "PPS_PREFIX",
        "SITE_NAME",
    ]
    show = "; ".join(f"printenv {n} || echo {n} -" for n in names)
    csh = run_in(prefix, ["tcsh", "-f"], f"{show}; gfal-ls --version")
    assert csh == run_in(prefix, ["dash"], f"{show}; gfal-ls --version")
    assert csh.splitlines()[-2:] == ["PIC", "gfal-ls 3.1.23"]
    assert (
        run_in(prefix, ["tcsh", "-f"], f'source "{prefix}/etc/profile.d/grid-env.csh"; printenv PATH').strip()
        == f"{prefix}/bin:/usr/bin:/bin"
    )


def test_alternatives_stand_in_the_tarball_and_what_could_not_be_replayed_is_named_in_the_record(
    provider: Provider, tmp_path: Path
) -> None:
    script = (
        "ALT=$(which alternatives)\n$ALT --install /usr/bin/tool tool \\\n  /usr/bin/tool-2 50\n"
        'alternatives --install "$unknown" x /usr/bin/tool-2 50\n'
        "alternatives --install /usr/bin/lost lost /usr/bin/nowhere 50\n"
    )
    files = {
        "usr/bin/tool-2": "#!/bin/sh\necho two\n",
        "usr/bin/py3compile": "#!/bin/sh\n",
        "etc/tool/tool.conf": "x=1\n",
    }
    patch = published(provider, sample("tool", files, install_script=script))
    facts = MemoryFacts()
    record = Rollout("bc-client-4711-1")
    tarball = ensure_tarball(
        at_desk(record, facts, patch=patch, now=NOW, actor="pps"),
        repositories=provider.repositories,
        reader=PackageFiles(),
        artefacts=provider.store(),
        limits=LIMITS,
        workdir=provider.root / "work",
    )
    prefix = unpacked(tarball, provider, tmp_path / "prefix")
    assert run_in(prefix, ["dash"], "tool").strip() == "two"
    assert not (prefix / "bin/py3compile").exists()
    (built,) = [f for f in facts.facts if f.kind is FactKind.TARBALL_BUILT]
    unknown, lost, configuration = built.payload["remarks"]
    assert "cannot make out (alternatives --install $unknown x" in unknown
    assert "links usr/bin/lost to usr/bin/nowhere, which is not here" in lost
    assert "/etc/tool/tool.conf" in configuration


# --- reproducible ----------------------------------------------------------------------------

_BUILD = """
import json, random, sys
from pathlib import Path
from dataclasses import asdict, replace
sys.path[:0] = json.loads(sys.argv[1])
from tests.support.provider import Provider
from tests.support.http_folder import HttpFolder
from pps.domain.packages.patch import PackageRef, RepositoryKind
kind, url, root, refs, externals, umask = json.loads(sys.argv[2])
import os, tempfile
os.umask(umask)
provider = Provider(RepositoryKind(kind), Path(root), HttpFolder(Path(root), url))
tarball = provider.build(provider.patch(tuple(PackageRef(*r) for r in refs), tuple(PackageRef(*r) for r in externals)))
print(json.dumps({"name": tarball.name, "files": dict(tarball.files)}))
"""


def test_equal_packages_give_equal_bytes_on_another_day_and_under_another_account(
    provider: Provider, tmp_path: Path
) -> None:
    made, patch = provider.publish_sample()
    here = provider.build(patch)
    paths = json.dumps([p for p in sys.path if p])
    dice = random.Random(4711)
    worlds = [
        ({"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": "1"}, 0o077),
        ({"TZ": "America/Caracas", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "2", "PYTHONUTF8": "0"}, 0o000),
    ]
    for number, (environment, umask) in enumerate(worlds):
        root = tmp_path / f"world-{number}" / ("x" * 30 * number or "y")
        root.mkdir(parents=True)
        refs, externals = (
            [[r.name, r.version, r.arch] for r in made.packages],
            [[r.name, r.version, r.arch] for r in made.externals],
        )
        dice.shuffle(refs)
        order = json.dumps([str(provider.kind), provider.http.url, str(root), refs, externals, umask])
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, paths, order],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        there = json.loads(done.stdout)
        assert there == {"name": here.name, "files": dict(here.files)}
        for name in here.files:
            assert (root / "store" / here.name / name).read_bytes() == (
                provider.root / "store" / here.name / name
            ).read_bytes()


def test_the_archives_hold_nothing_of_the_machine_that_built_them(provider: Provider) -> None:
    _, patch = provider.publish_sample()
    tarball = provider.build(patch)
    for file in tarball.files:
        if not file.endswith(".gz"):
            continue
        data = provider.store().local(tarball.name, file).read_bytes()
        assert data[3] == 0, "no name, no comment"
        assert data[4:8] == bytes(4), "no time"
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as archive:
            members = archive.getmembers()
        assert [m.name for m in members] == sorted(m.name for m in members)
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 1_000_000_000)}
        assert {oct(m.mode) for m in members} <= {"0o755", "0o644", "0o777"}


def test_another_version_of_a_package_gives_another_name(provider: Provider) -> None:
    _, old = provider.publish_sample("3.1.22")
    _, new = provider.publish_sample("3.1.23")
    one, two = provider.build(old), provider.build(new)
    assert one.name != two.name
    before, after = manifest_of(one, provider), manifest_of(two, provider)
    unchanged = {p for p, e in after.files.items() if before.files.get(p) == e}
    assert "etc/gfal2.d/gfal2_core.conf" in unchanged
    assert "bin/gfal-ls" not in unchanged


# --- what is refused -------------------------------------------------------------------------


def nothing_is_kept(provider: Provider) -> None:
    assert not list((provider.root / "store").glob("*")), "a refused patch leaves nothing in the store"
    assert not list((provider.root / "work").glob("*")), "nor in the work folder"


def test_a_package_that_is_not_in_the_repository_is_named(provider: Provider) -> None:
    _, patch = provider.publish_sample()
    with pytest.raises(PackageError, match="absent-1-1"):
        provider.build(replace(patch, packages=(*patch.packages, PackageRef("absent", "1-1", "all"))))
    nothing_is_kept(provider)


def test_a_package_with_a_wrong_digest_is_refused_and_nothing_is_kept(provider: Provider) -> None:
    _, patch = provider.publish_sample()
    path = sorted(p for p in provider.http.folder.rglob("*") if p.suffix in (".deb", ".rpm"))[-1]
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(PackageError, match="sha256"):
        provider.build(patch)
    nothing_is_kept(provider)


def test_a_hostile_package_in_a_sound_repository_is_refused(apt_provider: Provider, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for hostile in (
        [member("../../../victim")],
        [member("usr/lib", tarfile.SYMTYPE, target=str(tmp_path)), member("usr/lib/victim")],
        [member("dev/null", tarfile.CHRTYPE)],
        [member("usr/bin/x", tarfile.LNKTYPE, target="/etc/passwd")],
    ):
        shutil.rmtree(apt_provider.http.folder)
        apt_provider.http.folder.mkdir()
        apt_provider.publish(deb_of(tmp_path, *hostile))
        with pytest.raises(HostileArchiveError):
            apt_provider.build(apt_provider.patch((REF,)))
        assert not victim.exists()
        nothing_is_kept(apt_provider)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (TarballLimits(2000, 100_000, 1 << 29), HostileArchiveError),
        (TarballLimits(1 << 30, 5, 1 << 29), HostileArchiveError),
        (TarballLimits(1 << 30, 100_000, 100), PackageError),
    ],
)
def test_the_policy_s_limits_hold_for_the_whole_tarball(
    provider: Provider, limits: TarballLimits, error: type[Exception]
) -> None:
    _, patch = provider.publish_sample()
    with pytest.raises(error):
        provider.build(patch, limits=limits)
    nothing_is_kept(provider)


def published(provider: Provider, *packages: SamplePackage) -> Patch:
    folder = provider.root / f"own-{len(list(provider.root.iterdir()))}"
    folder.mkdir()
    write = write_deb if provider.kind is RepositoryKind.APT else write_rpm
    provider.publish(*(write(p, folder) for p in packages))
    return provider.patch(tuple(p.ref for p in packages))


def sample(name: str, files: dict[str, str], **more) -> SamplePackage:
    return SamplePackage(PackageRef(name, "1.0-1", "all"), {p: (0o755, t) for p, t in files.items()}, **more)


def test_the_c_library_is_refused_as_package_and_as_file(provider: Provider) -> None:
    with pytest.raises(PackageError, match="C library"):
        provider.build(published(provider, sample("libc6", {"usr/lib/x": "x"})))
    with pytest.raises(PackageError, match="C library"):
        provider.build(published(provider, sample("innocent", {"usr/lib64/libc.so.6": "x"})))
    nothing_is_kept(provider)


def test_a_link_onto_itself_after_the_merge_of_usr_is_no_file_of_its_own(provider: Provider, tmp_path: Path) -> None:
    links = {
        "lib/libfoo.so.1": "/usr/lib64/libfoo.so.1",
        "usr/lib/libfoo.so.1": "../lib64/libfoo.so.1",
        "lib64/later": "/usr/lib/later",
        "bin": "usr/bin",
        "lib/libfoo.so": "libfoo.so.1",
    }
    package = sample("a", {"usr/lib64/libfoo.so.1": "x", "usr/lib/later": "y", "usr/bin/tool": "z"}, links=links)
    tarball = provider.build(published(provider, package))
    prefix = unpacked(tarball, provider, tmp_path / "prefix")
    assert (prefix / "lib/libfoo.so").read_text() == "x"
    assert not (prefix / "lib/libfoo.so.1").is_symlink()
    assert (prefix / "lib/later").read_text() == "y"
    assert (prefix / "bin/tool").read_text() == "z"


def test_a_package_that_nfpm_made_becomes_a_tarball(apt_provider: Provider, tmp_path: Path) -> None:
    path = deb_of(
        tmp_path,
        member("/usr/bin/tool", data=b"#!/bin/sh\n", mode=0o755),
        member("/usr/bin/tool2", tarfile.LNKTYPE, target="/usr/bin/tool"),
        member("/usr/bin/tool3", tarfile.LNKTYPE, target="usr/bin/tool2"),
        member("/usr/share/doc/tool/README", data=b"both"),
        member("/usr/share/tool/README", tarfile.LNKTYPE, target="/usr/share/doc/tool/README"),
        member("/usr/share/x", data=b"old"),
        member("/usr/share/x", data=b"new"),
    )
    apt_provider.publish(path)
    tarball = apt_provider.build(apt_provider.patch((REF,)))
    prefix = unpacked(tarball, apt_provider, tmp_path / "prefix")
    assert {(prefix / "bin" / name).read_bytes() for name in ("tool", "tool2", "tool3")} == {b"#!/bin/sh\n"}
    assert (prefix / "share/x").read_bytes() == b"new"
    # one name of a file is left out, the other one is not
    assert (prefix / "share/tool/README").read_bytes() == b"both"
    assert not (prefix / "share/doc").exists()


def test_a_version_after_a_snapshot_is_built_kept_and_named(tmp_path: Path) -> None:
    """rpm-version(7): 2.23.0^20240101git1a2b3c4 is what came after 2.23.0."""
    ref = PackageRef("voms", "1:2.23.0^20240101git1a2b3c4-1.el9", "noarch")
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as http:
        yum = Provider(RepositoryKind.YUM, tmp_path, http)
        yum.publish(write_rpm(SamplePackage(ref, {"usr/bin/voms": (0o755, "x")}), tmp_path))
        document = patch_document(yum.patch((ref,)))
        patch = parse_patch(json.loads(json.dumps(document)))
        assert patch.packages == (ref,)
        tarball = yum.build(patch)
        assert [p.ref for p in manifest_of(tarball, yum).packages] == [ref]
        kept = yum.store().local_package(manifest_of(tarball, yum).packages[0].sha256)
        seal = signing.seal(tmp_path / "keys", now=lambda: NOW)
        publish_packages(UPath(tmp_path / "production"), yum.repository, [kept], NOW, seal=seal)
    older = PackageRef("voms", "1:2.23.0-1.el9", "noarch")
    production = UPath(tmp_path)
    (production / "production").rename(production / "yum")
    found = ProductionFolder(production, seal=seal).open(RepositoryKind.YUM).newest([older])
    assert found[older].ref == ref


def test_two_packages_with_different_files_at_one_place_are_refused(provider: Provider) -> None:
    with pytest.raises(PackageError, match="comes from a and from b, and they differ"):
        provider.build(published(provider, sample("a", {"usr/bin/x": "1"}), sample("b", {"bin/x": "2"})))
    with pytest.raises(PackageError, match="comes from"):
        provider.build(published(provider, sample("c", {"usr/bin/y": "1"}), sample("d", {"usr/bin/y/z": "2"})))
    assert provider.build(published(provider, sample("e", {"usr/bin/x": "1"}), sample("f", {"bin/x": "1"})))


def test_a_package_that_replaces_our_environment_is_refused(provider: Provider) -> None:
    with pytest.raises(PackageError, match=r"grid-env.sh"):
        provider.build(published(provider, sample("a", {"etc/profile.d/grid-env.sh": "echo"})))


def test_a_file_that_says_it_is_another_package_is_refused(provider: Provider) -> None:
    class Liar(PackageFiles):
        def open(self, path, budget):
            other = published_as[0] if not path.name.startswith("a") else path
            return super().open(other, budget)

    patch = published(provider, sample("a", {"usr/bin/a": "1"}), sample("b", {"usr/bin/b": "1"}))
    published_as = [next(p for p in provider.root.glob("own-*/*") if p.name.startswith("a"))]
    reader: PackageReader = Liar()
    with pytest.raises(PackageError, match="the file says that it is a"):
        build_tarball(
            patch,
            provider.repositories.open(patch.repository),
            reader=reader,
            artefacts=provider.store(),
            limits=LIMITS,
            workdir=provider.root / "work",
        )


# --- links -----------------------------------------------------------------------------------


def test_links_of_packages_stay_in_the_tree_or_are_left_out(provider: Provider, tmp_path: Path) -> None:
    links = {
        "usr/lib/x86_64-linux-gnu/libx.so": "/usr/lib/x86_64-linux-gnu/libx.so.1",
        "usr/lib/x86_64-linux-gnu/deep/liby.so": "../libx.so.1",
        "usr/bin/y": "../lib/x86_64-linux-gnu/deep/liby.so",
        "etc/passwd-link": "/etc/passwd",
        "usr/bin/to-state": "/var/lib/x",
        "usr/bin/round": "about",
        "usr/bin/about": "round",
        "usr/share/x/dangling": "nowhere",
        "usr/share/y/behind": "../x/dangling",
        "usr/share/z/folder": "../x",
    }
    patch = published(provider, sample("a", {"usr/lib/x86_64-linux-gnu/libx.so.1": "x"}, links=links))
    manifest = manifest_of(provider.build(patch), provider)
    assert {e.path: e.target for e in manifest.entries if e.kind == "l"} == {
        "lib/libx.so": "libx.so.1",
        "lib/deep/liby.so": "../libx.so.1",
        "bin/y": "../lib/deep/liby.so",
    }
    assert not any(e.path.startswith("share") for e in manifest.entries)


def test_alternatives_are_replayed_the_highest_priority_wins(provider: Provider) -> None:
    def call(path: str, priority: int) -> str:
        return f"#!/bin/sh\nupdate-alternatives --install /usr/bin/x x {path} {priority}\n"

    packages = [
        sample("a", {"usr/bin/x1": "1"}, install_script=call("/usr/bin/x1", 10)),
        sample("b", {"usr/bin/x2": "2"}, install_script=call("/usr/bin/x2", 50)),
        sample("c", {"usr/bin/other": "3"}, install_script=call("/usr/bin/absent", 90)),
        sample(
            "d",
            {"usr/bin/kept": "4", "usr/bin/kept2": "5"},
            install_script=call("/usr/bin/kept2", 1).replace("bin/x ", "bin/kept "),
        ),
    ]
    manifest = manifest_of(provider.build(published(provider, *packages)), provider)
    assert {e.path: e.target for e in manifest.entries if e.kind == "l"} == {"bin/x": "x2"}


def test_scripts_use_the_interpreter_that_the_tarball_brings(provider: Provider, tmp_path: Path) -> None:
    files = {
        "usr/bin/python3": "#!/bin/sh\necho ours\n",
        "usr/bin/script": "#!/usr/bin/python3\nrest\n",
        "usr/bin/spaced": "#! /usr/bin/python3\n",
        "usr/bin/options": "#!/usr/bin/python3 -E\n",
        "usr/bin/perl-script": "#!/usr/bin/perl\n",
        "usr/share/text": "#!/usr/bin/python3\n",
    }
    package = sample("a", files)
    package = replace(package, files={**package.files, "usr/share/text": (0o644, files["usr/share/text"])})
    prefix = unpacked(provider.build(published(provider, package)), provider, tmp_path / "prefix")
    assert (prefix / "bin/script").read_text() == "#!/usr/bin/env python3\nrest\n"
    assert (prefix / "bin/spaced").read_text() == "#!/usr/bin/env python3\n"
    assert (prefix / "bin/options").read_text() == files["usr/bin/options"]
    assert (prefix / "bin/perl-script").read_text() == files["usr/bin/perl-script"], "perl is not brought along"
    assert (prefix / "share/text").read_text() == files["usr/share/text"]
    assert run_in(prefix, ["dash"], "script").strip() == "ours"


# --- the fact --------------------------------------------------------------------------------


class Record:
    """The part of `ports.Facts` that is needed here."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def record(self, *facts: Fact, mails=()) -> tuple[Fact, ...]:
        self.facts += facts
        return facts


def test_the_tarball_is_built_once_and_its_fact_tells_where_it_is(apt_provider: Provider) -> None:
    _, patch = apt_provider.publish_sample()
    record = Record()

    def ensure() -> Tarball:
        return ensure_tarball(
            at_desk(Rollout("bc-client-4711-1", tuple(record.facts)), record, patch=patch, now=NOW, actor="run-1"),
            repositories=apt_provider.repositories,
            reader=PackageFiles(),
            artefacts=apt_provider.store(),
            limits=LIMITS,
            workdir=apt_provider.root / "work",
        )

    first = ensure()
    (fact,) = record.facts
    assert (fact.kind, fact.subject, fact.occasion, fact.payload["name"]) == (
        FactKind.TARBALL_BUILT,
        "",
        "",
        first.name,
    )
    json.dumps(dict(fact.payload))
    asked = len(apt_provider.http.requests)
    assert ensure() == first
    assert len(apt_provider.http.requests) == asked, "a retry asks the provider for nothing"
    assert len(record.facts) == 1

    shutil.rmtree(apt_provider.root / "store" / first.name)
    assert ensure() == first, "lost in the store: built again, and the same"

    shutil.rmtree(apt_provider.root / "store" / first.name)
    shutil.rmtree(apt_provider.http.folder)
    apt_provider.http.folder.mkdir()
    published(
        apt_provider,
        *(
            replace(sample(r.name, {f"usr/bin/{r.name}": "changed"}), ref=r)
            for r in (*patch.packages, *patch.externals)
        ),
    )
    with pytest.raises(PackageError, match="built before"):
        ensure()


def test_the_verified_packages_are_kept_for_the_release_to_production(provider: Provider) -> None:
    made, patch = provider.publish_sample()
    tarball = provider.build(patch)
    kept = {}
    for package in manifest_of(tarball, provider).packages:
        path = provider.store().local_package(package.sha256)
        kept[package.ref] = path.read_bytes()
    for ref, made_file in zip((*made.packages, *made.externals), made.files, strict=True):
        assert kept[ref] == made_file.read_bytes()


# --- real clients ----------------------------------------------------------------------------


@pytest.mark.needs("apt")
def test_real_grid_clients_run_from_a_moved_prefix(
    apt_provider: Provider, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.config.cache.mkdir("pps-real-clients")
    real = fetch_real_clients(folder)
    assert fetch_real_clients(folder) == real
    assert {"voms-clients", "libgfal2-2"} <= {ref.name for ref in real.packages}
    assert "libssl3" in {ref.name for ref in real.externals}
    assert "libc6" not in {ref.name for ref in (*real.packages, *real.externals)}
    apt_provider.publish(*real.files)
    tarball = apt_provider.build(apt_provider.patch(real.packages, real.externals))
    prefix = unpacked(tarball, apt_provider, tmp_path / "first").rename(tmp_path / "moved")
    for shell in (["dash"], ["bash"], ["tcsh", "-f"]):
        ask = "voms-proxy-info --version; gfal-ls --version; sh -c 'globus-url-copy -version 2>&1'; myproxy-info -V"
        said = run_in(prefix, shell, f"{ask}; which gfal-ls", HOME=str(tmp_path))
        assert "Version: 2." in said
        assert "gfal2-util version 1." in said
        assert "globus-url-copy: 1" in said
        assert "myproxy-info version" in said
        assert said.splitlines()[-1] == f"{prefix}/bin/gfal-ls"
    (tmp_path / "data").write_text("hello")
    run_in(prefix, ["dash"], f"gfal-copy -f file://{tmp_path}/data file://{tmp_path}/copy", HOME=str(tmp_path))
    assert (tmp_path / "copy").read_text() == "hello"
    missing = run_in(
        prefix, ["dash"], f"find {prefix}/bin {prefix}/lib -type f | xargs ldd 2>/dev/null | grep 'not found' || :"
    )
    assert missing == ""
