"""A site's production is compared without reading it; whatever changes is seen and named, and nothing is guessed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.test_probes import any_path, path, run, site, states  # noqa: F401
from tests.support.local_shell import kept_sh, make_sh
from tests.support.preview import Preview, digest_of, install_preview

from pps.activities.sites.receiver import PRODUCTION, receiver_script
from pps.activities.sites.script import load_script
from pps.domain.sites.probes import ProbeState
from pps.domain.sites.site import Site


def tool(production: Path) -> Path:
    return production / "bin/voms-proxy-info"


def other_content(production: Path) -> None:
    """Of the same size, and of the same date as before."""
    before = tool(production).stat()
    with tool(production).open("r+b") as file:
        file.write(b"#!/bin/zz")
    os.utime(tool(production), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert tool(production).stat().st_size == before.st_size


#: what somebody does to production -> what the probe says it is, and the entry that it names
CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "content": (other_content, "UNKNOWN", "./bin/voms-proxy-info"),
    "renamed": (lambda p: tool(p).rename(p / "bin/voms proxy-init"), "CRITICAL", "./bin/voms proxy-init"),
    "chmod": (lambda p: tool(p).chmod(0o700), "CRITICAL", "./bin/voms-proxy-info"),
    "new": (lambda p: (p / "bin/new").write_text(""), "CRITICAL", "./bin/new"),
    "removed": (lambda p: tool(p).unlink(), "CRITICAL", "./bin"),
    "grown": (lambda p: tool(p).write_text("x" * 99), "CRITICAL", "./bin/voms-proxy-info"),
    "link": (lambda p: (p / "lib").symlink_to("lib64"), "CRITICAL", "(.)"),
    "gone": (shutil.rmtree, "CRITICAL", "gone"),
}


@pytest.mark.sd("4.1.1", step=3)
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_in_production_is_seen_and_named(site: Site, path: str, change: str) -> None:
    act, state, named = CHANGES[change]
    production = Path(site.production_root)
    preview = install_preview(site)
    before = digest_of(production, path)
    assert PRODUCTION.fullmatch(before) and before.startswith("names:"), before
    assert run(preview, path, before=before)["production"].state is ProbeState.OK

    act(production)

    results = run(preview, path, before=before)
    assert states(results) == {"production": state}
    assert named in results["production"].text, results["production"].text


def test_every_shell_and_its_tools_say_the_same_of_any_names(tmp_path: Path) -> None:
    tree = tmp_path / "production"
    tree.mkdir()
    for name in ("a b", "$(id)", "new\nline", "\udcff\udcfe", "back\\slash", "- dash", "1 2 3 4 5"):
        (tree / name).mkdir()
        (tree / name / name).write_text(name, errors="surrogateescape")

    (tree / "a link").symlink_to("./a b -> ./a b")
    said = {how: {digest_of(tree, kept_sh(how))} for how in ("dash", "bash", "busybox", "toybox")}
    assert len(set.union(*said.values())) == 1, said


def test_what_was_recorded_by_content_is_compared_by_content(site: Site, any_path: str) -> None:
    production = Path(site.production_root)
    preview: Preview = install_preview(site)
    before = digest_of(production, any_path, "content")
    assert re.fullmatch("[0-9a-f]{64}", before)

    os.utime(tool(production))  # another ctime, the same content
    assert run(preview, any_path, before=before)["production"].state is ProbeState.OK
    other_content(production)
    assert states(run(preview, any_path, before=before)) == {"production": "CRITICAL"}


def test_where_ctimes_have_whole_seconds_every_file_is_read_and_it_is_said(site: Site, tmp_path: Path) -> None:
    tools = make_sh(tmp_path / "tools", "dash")
    digest = digest_of(Path(site.production_root), tools)
    (tmp_path / "tools/stat").unlink()
    (tmp_path / "tools/stat").write_text(
        "#!/bin/sh\n/usr/bin/stat \"$@\" | sed 's/\\.[0-9]* +0000 /.000000000 +0000 /'\n"
    )
    (tmp_path / "tools/stat").chmod(0o755)
    command = ["sh", "-c", receiver_script(), "receiver", "install", "x", "0" * 64]
    command += [site.preview_root, site.production_root, site.profile_d]
    done = subprocess.run(
        command, env={"PATH": tools, "HOME": "/"}, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    content = digest_of(Path(site.production_root), tools, "content")

    assert done.stdout.splitlines()[1:3] == [
        f"PPS-PRODUCTION {content}",
        f"PPS-READ every file of {site.production_root} was read: its ctimes are not finer than a second",
    ]
    # what was recorded with them is not called changed
    result = run(install_preview(site), tools, before=digest)["production"]
    assert (result.state, "cannot be told apart" in result.text) == (ProbeState.UNKNOWN, True)


@pytest.mark.needs("strace")
def test_of_five_thousand_files_none_is_opened(tmp_path: Path) -> None:
    tree, trace = tmp_path / "production", tmp_path / "trace"
    for folder in range(50):
        (tree / str(folder)).mkdir(parents=True)
        for file in range(100):
            (tree / str(folder) / f"file{file}").write_text("x")
    script = load_script("production_digest.sh") + 'production_digest "$1" "$2"'
    opened = {}
    for how in ("names", "content"):
        command = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=open,openat", "-o", str(trace)]
        subprocess.run([*command, "sh", "-c", script, "sh", str(tree), how], check=True, stdout=subprocess.DEVNULL)
        opened[how] = len(re.findall(r"/file\d+", trace.read_text()))
    assert opened == {"names": 0, "content": 5000}
