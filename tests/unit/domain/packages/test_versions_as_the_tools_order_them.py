"""Our order of versions is that of rpm and dpkg themselves: they are asked."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.thoroughness import examples

from pps.domain.packages.versions import debian_order, rpm_order

#: Pieces that stand next to each other in real versions; among them each sign that has a meaning of its own.
PIECES = ["0", "1", "9", "10", "007", "a", "Z", "rc", "git", ".", "_", "+", "~", "^", "~~", "^^", "..", "el9"]
RPM = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
UPSTREAM = st.lists(st.sampled_from([p for p in PIECES if not set(p) & set("^_")]), max_size=6)
REVISION = st.lists(st.sampled_from(["1", "0", "a", "~", "+", "."]), max_size=3)
DEBIAN = st.tuples(st.sampled_from(["", "0:", "1:", "12:"]), UPSTREAM, REVISION).map(
    lambda parts: f"{parts[0]}1{''.join(parts[1])}{'-' if parts[2] else ''}{''.join(parts[2])}"
)


@pytest.mark.needs("dnf")
@settings(max_examples=examples(20))
@example(
    [("2.23.0^20240101git1a2b3c4", "2.23.0"), ("2.23.0^20240101git1a2b3c4", "2.23.0.1"), ("1~^", "1~"), ("1^~", "1^")]
)
@given(st.lists(st.tuples(RPM, RPM), min_size=20, max_size=60))
def test_rpm_orders_versions_as_we_do(pairs: list[tuple[str, str]]) -> None:
    calls = " ".join(f'print(rpm.vercmp("{one}", "{other}"), "")' for one, other in pairs)
    said = subprocess.run(
        ["rpm", "--eval", f"%{{lua:{calls}}}"], capture_output=True, text=True, check=True, timeout=60
    )
    theirs = [int(word) for word in said.stdout.split()]
    assert [rpm_order(one, other) for one, other in pairs] == theirs


@pytest.mark.needs("dpkg")
@settings(max_examples=examples(150))
@given(DEBIAN, DEBIAN)
def test_dpkg_orders_versions_as_we_do(one: str, other: str) -> None:
    sign = next(
        sign
        for sign, word in ((-1, "lt"), (0, "eq"), (1, "gt"))
        if subprocess.run(["dpkg", "--compare-versions", one, word, other], check=False, timeout=60).returncode == 0
    )
    assert debian_order(one, other) == sign
