"""What a site reports is read strictly: it can fail its own probes, never pass them by accident."""

from __future__ import annotations

import subprocess

import pytest

from pps.activities.clients.probing import PROBES, probes_in, read_results
from pps.activities.sites.script import ScriptOutput, load_script
from pps.domain.sites.probes import ProbeState, reasons_against_tag

GOOD = ("PPS-PROBES 1", *(f"PPS-PROBE {name} OK - fine|n=1" for name in PROBES), f"PPS-PROBES-END {len(PROBES)}")


def report(*lines: str, exit_code: int = 0) -> ScriptOutput:
    return ScriptOutput(lines, exit_code)


def test_a_word_more_in_the_script_is_a_probe_more_that_is_run_reported_and_counted() -> None:
    script = load_script("probes.sh").replace('\nprobes="', '\nprobes="extra:UNKNOWN ')
    arguments = ["/nowhere", "0" * 64, "/nowhere", "/nowhere", "-", "4"]
    said = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *arguments], capture_output=True, text=True, check=True
    ).stdout
    probes = probes_in(script)
    assert probes == ("extra", *PROBES)
    assert [line.split()[1] for line in said.splitlines()[1:-1]] == list(probes)
    assert "PPS-PROBE extra UNKNOWN - ended without a verdict" in said
    assert said.splitlines()[-1] == f"PPS-PROBES-END {len(probes)}"


def test_a_whole_report_passes() -> None:
    results = read_results(report(*GOOD))
    assert [r.probe for r in results] == list(PROBES)
    assert [r.line for r in results] == ["OK - fine|n=1"] * len(PROBES)
    assert reasons_against_tag(results) == ()


@pytest.mark.parametrize("left_out", range(len(GOOD)))
def test_a_report_that_lacks_any_line_does_not_pass(left_out: int) -> None:
    lines = [line for number, line in enumerate(GOOD) if number != left_out]
    assert reasons_against_tag(read_results(report(*lines)))


def test_a_report_that_is_cut_off_names_the_probes_that_were_not_run() -> None:
    results = read_results(report(*GOOD[:3], exit_code=143))
    assert [r.state for r in results] == [ProbeState.OK] * 2 + [ProbeState.UNKNOWN] * (len(PROBES) - 2)
    assert results[2].text == "the site did not report this probe (exit 143)"


def test_a_script_that_fails_does_not_pass_even_with_a_good_report() -> None:
    assert reasons_against_tag(read_results(report(*GOOD, exit_code=1)))


def test_a_probe_that_is_reported_twice_counts_as_not_run() -> None:
    lines = [*GOOD[:2], "PPS-PROBE tree OK - really|", *GOOD[2:]]
    assert read_results(report(*lines))[0].state is ProbeState.UNKNOWN


@pytest.mark.parametrize(
    "line",
    [
        "PPS-PROBE tree FINE - x|",
        "PPS-PROBE tree OK x",
        " PPS-PROBE tree OK - x|",
        "PPS-PROBE tree OK - x|\n",
        "PPS-PROBE TREE OK - x|",
        "PPS-PROBE tree;id OK - x|",
        "tree OK",
    ],
)
def test_a_line_that_is_almost_a_result_is_none(line: str) -> None:
    results = read_results(report(GOOD[0], line, *GOOD[2:]))
    assert results[0].state is ProbeState.UNKNOWN


@pytest.mark.parametrize("junk", ["\x1b]0;owned\x07", "\x1b[2J", "\r", "\u202egnp", "\u2028", "\x9b31m", "\ufffd\x00"])
def test_control_characters_of_a_site_do_not_get_through(junk: str) -> None:
    result = read_results(report(GOOD[0], f"PPS-PROBE tree CRITICAL - a{junk}b|", *GOOD[2:]))[0]
    assert result.state is ProbeState.CRITICAL
    assert result.text.isprintable()
    assert result.text.startswith("a")


def test_text_and_perfdata_are_bounded() -> None:
    result = read_results(report(GOOD[0], f"PPS-PROBE tree OK - {'x' * 9999}|a=$(id);b=1", *GOOD[2:]))[0]
    assert len(result.text) == 400
    assert result.perfdata == ""


def test_scripts_are_sent_with_what_they_include() -> None:
    script = load_script("probes.sh")
    assert "#include " not in script
    assert script.count("production_digest() {") == 2
    assert len(script) < 60_000
