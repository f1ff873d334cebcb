"""Statements, keys and lists of what is current: one spelling each, and who is enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.previews import SMALL, tree_manifest

from pps.domain.base.errors import ConfigurationError, PackageError
from pps.domain.sites.site import Platform, Scheme
from pps.domain.trust.keys import Root, Signer, SignerRole, current_of, reasons_against_signatures
from pps.domain.trust.signed import Signature, Signed, envelope, opened
from pps.domain.trust.statement import Statement, broken_link, statement_of, withdrawal_of

NOW = datetime(2009, 3, 2, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
PLATFORM = Platform("debian12", "amd64")


def chain(length: int) -> list[Statement]:
    made: list[Statement] = []
    for n in range(length):
        manifest = tree_manifest({**SMALL, "bin/tool": str(n).encode()}, f"1.{n}")
        made.append(
            statement_of(
                manifest, PLATFORM, f"VO-ops-PPS-{n}", packed=9, before=made, now=NOW + n * WEEK, holds_for=WEEK
            )
        )
    return made


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,60}", fullmatch=True)
numbers = st.integers(0, 10**14)


@given(
    product=names, platform=names, version=names, tag=names, sequence=st.integers(1, 10**9), packed=numbers,
    unpacked=numbers, files=numbers, issued=st.integers(0, 10**10), holds=st.integers(1, 10**9),
)  # fmt: skip
def test_a_statement_is_read_as_it_was_written(
    product: str, platform: str, version: str, tag: str, sequence: int, packed: int, unpacked: int, files: int,
    issued: int, holds: int,
) -> None:  # fmt: skip
    begins = datetime.fromtimestamp(issued, UTC)
    values = {
        **{key: getattr(chain(1)[0], key) for key in Statement.__slots__},
        "product": product, "platform": platform, "preview": f"{product}-{version}", "tag": tag, "sequence": sequence,
        "packed": packed, "unpacked": unpacked, "files": files, "issued": begins,
        "expires": begins + timedelta(seconds=holds),
    }  # fmt: skip
    statement = Statement(**values)

    assert Statement.parse(statement.text) == statement
    assert len(statement.text.encode()) <= 4096


@given(st.data())
def test_no_other_text_is_the_same_statement(data: st.DataObject) -> None:
    text = chain(1)[0].text
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + data.draw(st.text("ab 01-\n\0\r$", max_size=3)) + text[at + data.draw(st.integers(0, 2)) :]
    try:
        read = Statement.parse(changed)
    except PackageError:
        return
    assert read.text == changed


def test_statements_of_a_product_are_a_chain() -> None:
    made = chain(3)
    made.append(withdrawal_of(made[-1], now=NOW + 3 * WEEK, holds_for=WEEK))

    assert broken_link(made) == ""
    assert [s.sequence for s in made] == [1, 2, 3, 4]
    for changed in (made[1:], [made[0], *made[2:]], [replace(made[0], files=9), *made[1:]], [*made, made[3]]):
        assert "does not follow" in broken_link(changed)


def test_documents_travel_with_their_signatures() -> None:
    documents = (
        Signed("pps-current 1\n", (Signature("online", "one\n"),)),
        Signed(chain(1)[0].text, (Signature("rm", "a\nb\n"), Signature("coordinator", "c\n"))),
    )

    text = envelope(documents)
    assert opened(text) == documents
    for end in range(len(text)):
        with pytest.raises(PackageError):
            opened(text[:end])
    with pytest.raises(PackageError):
        opened(text + "x\n")


def key(name: str) -> str:
    return f"ssh-ed25519,{name:A<40}"


def root(**changes: object) -> Root:
    made = Root(
        1,
        NOW,
        Scheme.SSH,
        tuple(Signer(f"root-{n}", "root", f"holder-{n}", key(f"r{n}")) for n in "123"),
        (
            Signer("rm", SignerRole.RELEASE_MANAGER, "rm", key("rm")),
            Signer("co", SignerRole.PPS_COORDINATOR, "co", key("co")),
        ),
        (Signer("online", "current", "online", key("on")),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_keys_are_read_as_they_were_written() -> None:
    made = root(revoked=(key("old"),))
    assert Root.parse(made.text) == made


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"signers": root().signers[:1]}, "Nobody can sign as pps-coordinator."),
        ({"signers": (root().signers[0], replace(root().signers[1], key=key("rm")))}, "stands there twice"),
        ({"signers": (root().signers[0], replace(root().signers[1], name="rm"))}, "stands there twice"),
        ({"roots": root().roots[:2]}, "Three people must hold a root key"),
        (
            {"roots": (*root().roots[:2], replace(root().roots[2], person="holder-1"))},
            "Three people must hold a root key",
        ),
        ({"current": ()}, "No key can say what is current."),
        ({"revoked": (key("rm"),)}, "is revoked"),
    ],
)
def test_a_list_of_keys_says_why_it_may_not_be_in_force(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        root(**changes)


def test_two_roles_two_people_two_keys_are_enough_and_nothing_less() -> None:
    rm, coordinator = root().signers
    assert reasons_against_signatures([rm, coordinator]) == ()
    assert reasons_against_signatures([coordinator, rm]) == ()
    for not_enough in (
        [], [rm], [rm, rm], [rm, replace(coordinator, person="rm")], [rm, replace(coordinator, key=rm.key)],
        [rm, replace(rm, person="other", key=key("x"))],
    ):  # fmt: skip
        assert "two people" in reasons_against_signatures(not_enough)[0]


def test_what_is_current_names_the_newest_statements_for_a_week() -> None:
    newest = chain(2)[-1]
    made = current_of([newest], 3, NOW)

    assert made.text.splitlines() == [
        "pps-current 1",
        f"issued {int(NOW.timestamp())}",
        f"expires {int((NOW + WEEK).timestamp())}",
        "root 3",
        f"head client debian12-amd64 2 {newest.digest}",
    ]
