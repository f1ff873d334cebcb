"""The probes against real previews at real (small) sites, under every shell that a site may have."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.desks import at_desk
from tests.support.local_shell import LocalShell, kept_sh, make_sh, target_of
from tests.support.memory_facts import MemoryFacts
from tests.support.preview import NOW, PACKAGES, Preview, digest_of, install_preview, make_site

from pps.activities.clients.probing import PROBES, probe, probe_site
from pps.activities.ports.sites import SiteLimits
from pps.activities.sites.batch import Door
from pps.domain.packages.manifest import ManifestPackage
from pps.domain.packages.patch import PackageRef
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.sites.places import Places
from pps.domain.sites.probes import ProbeResult, ProbeState
from pps.domain.sites.site import Site

PATIENCE_S = 8


@pytest.fixture(params=["dash", "bash", pytest.param("busybox", marks=pytest.mark.needs("shells"))])
def path(request: pytest.FixtureRequest) -> str:
    return kept_sh(request.param)


@pytest.fixture
def any_path() -> str:
    return kept_sh("dash")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "site")


def run(
    preview: Preview, path: str, *, before: str | None = None, patience: int = PATIENCE_S
) -> dict[str, ProbeResult]:
    digest = digest_of(Path(preview.site.production_root), path) if before is None else before
    results = asyncio.run(
        probe_site(
            preview.site,
            preview.tarball,
            digest,
            target=target_of(preview.site.name),
            shell=LocalShell(path),
            limits=SiteLimits(),
            probe_s=patience,
        )
    )
    assert tuple(r.probe for r in results) == PROBES
    return {r.probe: r for r in results}


def states(results: dict[str, ProbeResult]) -> dict[str, str]:
    return {r.probe: r.state.name for r in results.values() if r.state is not ProbeState.OK}


@pytest.mark.sd("4.1.1", step=3)
def test_a_sound_preview_passes_every_probe(site: Site, path: str) -> None:
    results = run(install_preview(site), path)
    assert states(results) == {}, [r.line for r in results.values()]
    assert results["tree"].perfdata.startswith("files=9 bytes=")
    assert results["versions"].text == "voms-proxy-info 2.1.0, gfal-ls 1.8.0, myproxy-info 6.2"
    assert "3 settings of the site are kept" in results["environment"].text


def test_the_probes_leave_nothing_behind(site: Site, any_path: str, tmp_path: Path) -> None:
    preview = install_preview(site)
    before = sorted(tmp_path.rglob("*"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    shell = LocalShell(any_path, {"TMPDIR": str(scratch)})
    asyncio.run(
        probe_site(
            site,
            preview.tarball,
            "-",
            target=target_of(site.name),
            shell=shell,
            limits=SiteLimits(),
            probe_s=PATIENCE_S,
        )
    )
    assert sorted(tmp_path.rglob("*")) == sorted([*before, scratch])


# --- probe 1 ---------------------------------------------------------------------------------------


def _spoil_content(tree: Path) -> None:
    file = tree / "bin/voms-proxy-info"
    file.write_text(file.read_text().replace("2.1.0", "2.1.1"))


def _spoil_size(tree: Path) -> None:
    with (tree / "share/doc/b\\ack").open("a") as file:
        file.write("more")


def _spoil_link(tree: Path) -> None:
    (tree / "lib/libgrid.so").unlink()
    (tree / "lib/libgrid.so").symlink_to("elsewhere")


def _swap_kind(tree: Path) -> None:
    (tree / "lib/libgrid.so").unlink()
    shutil.copy(tree / "lib/libgrid.so.1", tree / "lib/libgrid.so")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_spoil_content, "bin/voms-proxy-info has another content"),
        (_spoil_size, "b\\ack has 6 bytes instead of 2"),
        (lambda tree: (tree / "bin/gfal-ls").chmod(0o700), "bin/gfal-ls has mode -rwx------"),
        (lambda tree: (tree / "bin/gfal-ls").chmod(0o4755), "bin/gfal-ls has mode -rwsr-xr-x"),
        (lambda tree: (tree / "share/doc/a file with blanks & 'quotes'.txt").unlink(), "'quotes'.txt is missing"),
        (_spoil_link, "lib/libgrid.so leads to elsewhere"),
        (_swap_kind, "lib/libgrid.so is of another kind"),
        (lambda tree: (tree / ".pps-ok").write_text("0" * 64 + "\n"), ".pps-ok does not hold"),
        (lambda tree: (tree / ".pps-ok").unlink(), ".pps-ok does not hold"),
        (lambda tree: (tree / "MANIFEST").write_text("# PPS-MANIFEST 1\n"), "MANIFEST is not the one"),
        (lambda tree: (tree / "MANIFEST").unlink(), "MANIFEST is missing"),
        (shutil.rmtree, "there is no"),
    ],
)
def test_a_tree_that_differs_from_its_manifest_is_critical(site: Site, path: str, spoil, word: str) -> None:
    preview = install_preview(site)
    spoil(preview.tree)
    result = run(preview, path)["tree"]
    assert result.state is ProbeState.CRITICAL
    assert word in result.text


def test_a_file_that_nobody_shipped_among_the_programs_is_critical(site: Site, path: str) -> None:
    preview = install_preview(site)
    (preview.tree / "bin/stranger").write_text("x")
    result = run(preview, path)["tree"]
    assert result.state is ProbeState.CRITICAL
    assert "bin/stranger is not in MANIFEST" in result.text


# --- probe 2 ---------------------------------------------------------------------------------------


def test_a_profile_script_that_ends_its_shell_fails_the_environment_and_not_the_run(site: Site, path: str) -> None:
    (Path(site.profile_d) / "zz-broken.sh").write_text("exit 3\n")
    results = run(install_preview(site), path)
    assert results["environment"].state is ProbeState.CRITICAL
    assert "exit 3" in results["environment"].text
    assert f"{site.profile_d}/zz-broken.sh cannot be sourced" in results["environment"].text
    assert f"{site.profile_d}/grid.sh" not in results["environment"].text
    assert results["tree"].state is results["production"].state is ProbeState.OK


def test_a_profile_script_that_never_ends_fails_the_environment_and_not_the_run(site: Site, path: str) -> None:
    (Path(site.profile_d) / "zz-loop.sh").write_text("while :; do :; done\n")
    results = run(install_preview(site), path, patience=5)
    assert results["environment"].state is ProbeState.CRITICAL
    assert "does not end; the site's own" in results["environment"].text
    assert "zz-loop.sh" in results["environment"].text
    assert results["tree"].state is results["production"].state is ProbeState.OK
    assert results["versions"].state is ProbeState.CRITICAL


def test_a_process_that_a_profile_script_leaves_behind_does_not_hold_the_probes(site: Site, path: str) -> None:
    (Path(site.profile_d) / "zz-left.sh").write_text("sleep 60 &\n")
    assert states(run(install_preview(site), path)) == {}


def test_a_profile_script_with_a_syntax_error_fails_the_environment(site: Site, path: str) -> None:
    (Path(site.profile_d) / "zz-syntax.sh").write_text("if [ ; then (\n")
    result = run(install_preview(site), path)["environment"]
    assert result.state is ProbeState.CRITICAL
    assert "zz-syntax.sh" in result.text


def test_a_profile_script_that_changes_shell_options_and_arguments_does_no_harm(site: Site, path: str) -> None:
    (Path(site.profile_d) / "zz-options.sh").write_text(
        "set -- -rf /; set -u; trap 'echo bye' EXIT; IFS=x; umask 077\n"
    )
    assert states(run(install_preview(site), path)) == {}


def test_libraries_of_the_site_that_break_every_program_fail_the_environment(site: Site, path: str) -> None:
    wrong = Path(site.profile_d).parent / "wronglib"
    wrong.mkdir()
    (wrong / "libc.so.6").write_bytes(b"\x7fELF, but no library")
    (Path(site.profile_d) / "zz-lib.sh").write_text(f"export LD_LIBRARY_PATH={wrong}\n")
    result = run(install_preview(site), path)["environment"]
    assert result.state is ProbeState.CRITICAL
    assert "leaves nothing that runs" in result.text


def test_a_path_without_any_tool_fails_nothing_as_long_as_the_preview_is_found(site: Site, path: str) -> None:
    (Path(site.profile_d) / "zz-path.sh").write_text("PATH=/nowhere; export PATH\n")
    assert run(install_preview(site), path)["environment"].state is ProbeState.OK


def test_escape_sequences_and_forged_results_of_a_site_do_not_reach_the_report(site: Site, path: str) -> None:
    (Path(site.profile_d) / "zz-noise.sh").write_text(
        "printf '\\033]0;owned\\007PPS-PROBE environment OK - forged|\\nPPS-PROBES-END 5\\n'\n"
        "printf '\\033[2Jboo|a=1' >&2\nexit 7\n"
    )
    results = run(install_preview(site), path)
    text = results["environment"].text
    assert results["environment"].state is ProbeState.CRITICAL
    assert text.isprintable() and "\x1b" not in text and "boo/a=1" in text


def test_endless_noise_of_a_site_is_cut_off(site: Site, path: str) -> None:
    (Path(site.profile_d) / "zz-yes.sh").write_text(
        "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done\n"
    )
    assert run(install_preview(site), path)["environment"].state is ProbeState.CRITICAL


@pytest.mark.sd("4.1.1", step=3)
def test_a_preview_that_does_not_inherit_the_sites_settings_is_critical(site: Site, path: str) -> None:
    def forget(tree: Path) -> None:
        (tree / "etc/profile.d/grid-env.sh").write_text(
            f'PPS_PREFIX="{tree}"; PATH="{tree}/bin:$PATH"; export PPS_PREFIX PATH\n'
        )

    result = run(install_preview(site, change=forget), path)["environment"]
    assert result.state is ProbeState.CRITICAL
    assert "MYPROXY_SERVER is lost" in result.text
    assert "PATH is changed" in result.text


def test_a_setting_that_differs_each_time_proves_nothing(site: Site, path: str) -> None:
    (Path(site.profile_d) / "zz-ticket.sh").write_text("KRB5CCNAME=/tmp/krb_$$; export KRB5CCNAME\n")
    assert states(run(install_preview(site), path)) == {}


def test_tools_that_are_found_elsewhere_are_critical(site: Site, path: str) -> None:
    def behind(tree: Path) -> None:
        script = tree / "etc/profile.d/grid-env.sh"
        script.write_text(script.read_text().replace(f'{tree}/bin:$PATH"', f'$PATH:{tree}/bin"'))

    result = run(install_preview(site, change=behind), path)["environment"]
    assert result.state is ProbeState.CRITICAL
    assert f"voms-proxy-info ({site.production_root}/bin)" in result.text


def test_a_missing_grid_env_is_critical(site: Site, path: str) -> None:
    preview = install_preview(site, change=lambda tree: (tree / "etc/profile.d/grid-env.sh").unlink())
    results = run(preview, path)
    assert results["environment"].text == "etc/profile.d/grid-env.sh is missing"
    assert results["libraries"].state is results["versions"].state is ProbeState.CRITICAL


@pytest.mark.needs("shells")
def test_csh_is_probed_where_the_site_has_one(site: Site, any_path: str) -> None:
    def spoil(tree: Path) -> None:
        (tree / "etc/profile.d/grid-env.csh").write_text("setenv PPS_PREFIX /elsewhere\n")

    result = run(install_preview(site, change=spoil), any_path)["environment"]
    assert result.state is ProbeState.CRITICAL
    assert "grid-env.csh: PPS_PREFIX is '/elsewhere'" in result.text


@pytest.mark.needs("shells")
def test_csh_settings_that_the_site_itself_has_broken_are_a_warning(site: Site, any_path: str) -> None:
    (Path(site.profile_d) / "zz.csh").write_text("setenv X $nobody_has_set_this\n")
    result = run(install_preview(site), any_path)["environment"]
    assert result.state is ProbeState.WARNING
    assert "zz.csh cannot be sourced" in result.text


# --- probe 3 ---------------------------------------------------------------------------------------


@pytest.mark.sd("4.1.1", step=3)
def test_production_that_changed_meanwhile_is_critical_and_named(site: Site, path: str) -> None:
    preview = install_preview(site)
    before = digest_of(Path(site.production_root), path)
    (Path(site.production_root) / "bin/voms-proxy-info").write_text("#!/bin/sh\necho preview\n")
    results = run(preview, path, before=before)
    assert states(results) == {"production": "CRITICAL"}
    assert f"production in {site.production_root} is not what it was" in results["production"].text


def test_production_of_which_nobody_recorded_the_digest_is_unknown(site: Site, path: str) -> None:
    assert run(install_preview(site), path, before="")["production"].state is ProbeState.UNKNOWN


def test_a_site_without_production_client_stays_without(site: Site, path: str) -> None:
    shutil.rmtree(site.production_root)
    preview = install_preview(site)
    assert run(preview, path, before="absent")["production"].state is ProbeState.OK
    Path(site.production_root).mkdir()
    assert run(preview, path, before="absent")["production"].state is ProbeState.CRITICAL


def test_a_production_environment_that_leads_into_the_preview_is_critical(site: Site, path: str) -> None:
    preview = install_preview(site)
    (Path(site.profile_d) / "zz-leak.sh").write_text(f"PATH={preview.tree}/bin:$PATH; export PATH\n")
    result = run(preview, path)["production"]
    assert result.state is ProbeState.CRITICAL
    assert result.text == "production's environment leads into the preview: PATH"


# --- probe 4 ---------------------------------------------------------------------------------------


def _lose_library(tree: Path) -> None:
    program = tree / "bin/grid-true"
    data = program.read_bytes()
    assert b"libc.so.6" in data
    program.write_bytes(data.replace(b"libc.so.6", b"libX.so.6"))


def test_a_missing_library_is_critical_and_named(site: Site, path: str) -> None:
    results = run(install_preview(site, change=_lose_library), path)
    assert states(results) == {"libraries": "CRITICAL"}
    assert "1 of 2 ELF files miss a library: bin/grid-true: libX.so.6 not found" in results["libraries"].text
    assert results["libraries"].perfdata == "elf=2 missing=1"


def test_a_library_for_another_machine_is_critical(site: Site, path: str) -> None:
    def other(tree: Path) -> None:
        library = tree / "lib/libgrid.so.1"
        data = bytearray(library.read_bytes())
        data[18:20] = b"\x02\x00"  # e_machine: SPARC
        library.write_bytes(data)

    result = run(install_preview(site, change=other), path)["libraries"]
    assert result.state is ProbeState.CRITICAL
    assert "lib/libgrid.so.1: not for this machine" in result.text


def test_a_site_without_ldd_is_a_warning(site: Site, tmp_path: Path) -> None:
    tools = tmp_path / "few"
    tools.mkdir()
    # by name: a link that leads nowhere, like Debian's /usr/bin/X11, exists for nobody but is there
    found = {tool.name: tool for folder in ("/bin", "/usr/bin") for tool in Path(folder).iterdir()}
    for name in found.keys() - {"ldd", "sh"}:
        (tools / name).symlink_to(found[name])
    (tools / "sh").symlink_to("/bin/dash")
    assert run(install_preview(site), str(tools))["libraries"].line == "WARNING - the site has no ldd"


# --- probe 5 ---------------------------------------------------------------------------------------


def _tool(tree: Path, name: str, text: str) -> None:
    (tree / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
    (tree / "bin" / name).chmod(0o755)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("voms-proxy-info", "echo 'Version: 2.0.9'", "does not say 2.1.0 but: Version: 2.0.9"),
        ("voms-proxy-info", "echo 'Version: 12.1.0 2.1.00'", "does not say 2.1.0"),
        ("voms-proxy-info", "echo 2.1.0; exit 1", "ends with 1: 2.1.0"),
        ("voms-proxy-info", "kill -9 $$", "ends with 137"),
        ("myproxy-info", "echo v6.20", "does not say 6.2.14"),
        ("gfal-ls", "exec /nowhere/python3", "gfal-ls --version ends with 127"),
    ],
)
def test_a_tool_that_does_not_run_or_is_of_another_version_is_critical(
    site: Site, path: str, name: str, text: str, word: str
) -> None:
    result = run(install_preview(site, change=lambda tree: _tool(tree, name, text)), path)["versions"]
    assert result.state is ProbeState.CRITICAL
    assert word in result.text


def test_a_tool_that_never_ends_is_critical(site: Site, path: str) -> None:
    preview = install_preview(site, change=lambda tree: _tool(tree, "gfal-ls", "while :; do :; done"))
    result = run(preview, path, patience=4)["versions"]
    assert result.state is ProbeState.CRITICAL
    assert "gfal-ls" in result.text


def test_globus_url_copy_is_well_although_it_ends_with_one(site: Site, path: str) -> None:
    def change(tree: Path) -> None:
        _tool(tree, "globus-url-copy", "echo 'globus-url-copy: 10.12' >&2; exit 1")

    package = ManifestPackage("middleware", PackageRef("globus-gass-copy-progs", "10.12-2", "amd64"), "0" * 64)
    result = run(install_preview(site, change=change, packages=(*PACKAGES, package)), path)["versions"]
    assert result.state is ProbeState.OK
    assert "globus-url-copy 10.12" in result.text


def test_a_prerelease_need_only_run(site: Site, path: str) -> None:
    package = ManifestPackage("middleware", PackageRef("voms-clients", "2.1.0~rc3-4", "amd64"), "0" * 64)
    preview = install_preview(
        site, change=lambda tree: _tool(tree, "voms-proxy-info", "echo 'Version: 2.1.1'"), packages=(package,)
    )
    assert run(preview, path)["versions"].text.startswith("voms-proxy-info runs")


def test_a_client_without_any_known_tool_is_a_warning(site: Site, path: str) -> None:
    def strip(tree: Path) -> None:
        for name in ("voms-proxy-info", "myproxy-info", "gfal-ls"):
            (tree / "bin" / name).unlink()

    assert run(install_preview(site, change=strip), path)["versions"].state is ProbeState.WARNING


# --- the activity ----------------------------------------------------------------------------------


def probe_all(
    record: Rollout, facts: MemoryFacts, sites: list[Preview], shell: LocalShell, at_once: int = 2
) -> tuple[Fact, ...]:
    return asyncio.run(
        probe(
            at_desk(record, facts, now=NOW),
            sites[0].tarball,
            [p.site for p in sites],
            Door(
                {p.site.name: target_of(p.site.name) for p in sites},
                shell,
                SiteLimits(),
                Places(at_once),
                "run-1",
                "test",
            ),
            probe_s=PATIENCE_S,
        )
    )


@pytest.mark.sd("4.1.1", step=3)
def test_a_bad_site_and_an_unreachable_one_do_not_fail_their_neighbours(tmp_path: Path, any_path: str) -> None:
    previews = many_sites(tmp_path, 6)
    broken = tmp_path / "broken.d"
    broken.mkdir()
    (broken / "x.sh").write_text("exit 3\n")
    previews[1] = replace(previews[1], site=replace(previews[1].site, profile_d=str(broken)))
    shell = LocalShell(any_path, unreachable={"SITE-2"})
    facts = MemoryFacts(
        *(installed(p) for p in previews if p.site.name != "SITE-4"),
        Fact("r", FactKind.PROBES_PASSED, "SITE-5", "run-0", NOW, "t"),
    )
    outcome = probe_all(facts.rollout("r"), facts, previews, shell)
    record = facts.rollout("r")
    assert [record.progress(f"SITE-{n}").state for n in range(6)] == [
        SiteState.TESTED, SiteState.NOT_ANNOUNCED, SiteState.FAILED,
        SiteState.TESTED, SiteState.PLANNED, SiteState.TESTED,
    ]  # fmt: skip
    assert [f.subject for f in outcome] == ["SITE-0", "SITE-1", "SITE-2", "SITE-3"]
    assert "Probe environment is CRITICAL" in record.progress("SITE-1").reason
    failed = record.progress("SITE-2").fact
    assert failed is not None and failed.payload["step"] == "probe" and "port 22" in failed.payload["reason"]
    assert sorted(run[0] for run in shell.runs) == ["SITE-0", "SITE-1", "SITE-3"], "one connection each, none to others"

    # a repeated task asks those again that have failed: they may have been repaired
    (broken / "x.sh").unlink()
    shell.unreachable.clear()
    outcome = probe_all(record, facts, previews, shell)
    assert [(f.subject, f.kind) for f in outcome] == [(f"SITE-{n}", FactKind.PROBES_PASSED) for n in (1, 2)]


def many_sites(tmp_path: Path, count: int) -> list[Preview]:
    """Sites that share a disk: the same tarball at each, as in a rollout."""
    first = install_preview(make_site(tmp_path / "shared"))
    return [replace(first, site=replace(first.site, name=f"SITE-{n}")) for n in range(count)]


def installed(p: Preview) -> Fact:
    return Fact(
        "r", FactKind.PREVIEW_INSTALLED, p.site.name, "run-1", NOW, "t", {"production_before": p.production_digest}
    )


def test_sites_are_probed_together_but_not_more_than_allowed(tmp_path: Path, any_path: str) -> None:
    previews = many_sites(tmp_path, 5)
    facts = MemoryFacts(*(installed(p) for p in previews))
    shell = LocalShell(any_path)
    probe_all(facts.rollout("r"), facts, previews, shell, at_once=3)
    assert shell.most_at_once == 3


def test_the_facts_hold_every_result(site: Site, any_path: str) -> None:
    preview = install_preview(site)
    facts = MemoryFacts()
    (fact,) = probe_all(preview.record(), facts, [preview], LocalShell(any_path))
    assert fact.kind is FactKind.PROBES_PASSED
    assert facts.facts == [fact]
    assert [set(r) for r in fact.payload["results"]] == [{"probe", "state", "text", "perfdata"}] * len(PROBES)
    assert fact.payload["results"][0]["state"] == "OK"


def test_the_scripts_are_not_executable_bits_of_luck(site: Site, tmp_path: Path) -> None:
    """A site without room for temporary files is UNKNOWN, which does not pass."""
    preview = install_preview(site)
    path = make_sh(tmp_path / "tools", "dash")
    (Path(path) / "mktemp").unlink()
    shell = LocalShell(path)
    (fact,) = probe_all(preview.record(), MemoryFacts(), [preview], shell)
    assert fact.kind is FactKind.PROBES_FAILED
    assert "no room for temporary files" in fact.payload["reason"]


def test_a_preview_that_its_account_cannot_read_does_not_pass(site: Site, any_path: str) -> None:
    preview = install_preview(site)
    if os.geteuid() == 0:
        preview.tree.rename(preview.tree.with_name("moved"))
    else:
        preview.tree.chmod(stat.S_IRUSR & 0)
    assert run(preview, any_path)["tree"].state is ProbeState.CRITICAL
