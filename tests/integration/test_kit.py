"""The kit of a site against whoever holds the connection, and against one of two people: every shell, both schemes."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.local_shell import make_sh
from tests.support.previews import SMALL, FolderArtefacts, Tree, artefacts_in

from pps.domain.sites.site import Scheme
from pps.domain.trust.signed import Signature, Signed, envelope
from pps.domain.trust.statement import Statement, withdrawal_of
from pps.sandbox.kit.site import WEEK, KitSite, People, now

pytestmark = pytest.mark.needs("openssh", "openssl")
NEXT: Tree = {**SMALL, "bin/tool": b"#!/bin/sh\necho 3\n"}
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module", params=list(Scheme))
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("keys"), request.param)


@pytest.fixture(scope="module", params=["dash", "bash", "busybox"])
def tools(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_sh(tmp_path_factory.mktemp("tools") / request.param, request.param)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderArtefacts:
    store = artefacts_in(tmp_path_factory.mktemp("artefacts") / "store")
    store.make(SMALL, "1.0")
    store.make(NEXT, "1.1")
    return store


@pytest.fixture
def kit(tmp_path: Path, people: People, tools: str, store: FolderArtefacts) -> KitSite:
    site = KitSite(tmp_path / "site", people, store, tools)
    site.unpack()
    return site


@pytest.fixture
def one_kit(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, store: FolderArtefacts) -> KitSite:
    site = KitSite(tmp_path / "site", People(tmp_path / "keys", Scheme.SSH), store)
    site.unpack()
    return site


def first_and_next(kit: KitSite) -> tuple[str, str]:
    first, following = sorted(kit.store.tarballs)
    return first, following


def all_of(folder: Path) -> dict[str, str]:
    """Every file and link below a folder, but for what the kit wrote down of keys and of what is current."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith(("state/current.", "state/root.", "previews/.pps")):
            continue
        seen[name] = (
            str(path.readlink()) if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file()
            else f"{path.stat().st_mode:o}"
        )  # fmt: skip
    return seen


def refused(said: list[str]) -> str:
    """The word of a refusal; what was said instead, if it was none."""
    words = said[-1].split()
    return words[1] if words[:1] == ["PPS-REFUSE"] else f"not refused: {said}"


def test_what_two_people_signed_is_installed_announced_and_removed(kit: KitSite) -> None:
    first, following = (kit.store.tarballs[name] for name in first_and_next(kit))

    assert kit.install(first)[-3::2] == ["PPS-READY", f"PPS-INSTALLED {first.name}"]
    assert kit.ask("look", kit.what, first.name, first.digest)[-1] == "PPS-LOOK intact"
    assert kit.ask("tag", kit.what)[-1].startswith("PPS-VOTAG-END added")
    assert (kit.folder / "tags/ce.example.org/ops/ops.list").read_text() == f"{kit.statements[0].tag}\n"

    statement = kit.statement(following)
    payload = kit.payload(following, first)
    said = kit.put([kit.current(statement), kit.signed(statement)], payload, base=first.name)
    assert said[-1] == f"PPS-INSTALLED {following.name}", said
    kit.statements.append(statement)
    assert kit.ask("untag", kit.what, kit.statements[0].tag)[-1].startswith("PPS-VOTAG-END removed")
    assert kit.ask("tag", kit.what)[-1].startswith("PPS-VOTAG-END added")
    # what a later statement replaced may be tidied away without another one; what is in force may not
    assert refused(kit.ask("remove", kit.what, following.name)) == "signed"
    assert kit.ask("remove", kit.what, first.name)[-1] == f"PPS-REMOVED {first.name}"

    withdrawal = withdrawal_of(statement, now=now(), holds_for=WEEK)
    assert kit.put([kit.current(withdrawal), kit.signed(withdrawal)])[-1] == f"PPS-REMOVED {following.name}"
    assert not (kit.root / following.name).exists()
    assert (kit.folder / "tags/ce.example.org/ops/ops.list").read_text() == ""
    assert refused(kit.ask("tag", kit.what)) == "withdrawn"
    state = kit.ask("state")
    assert state[2].split()[:5] == ["PPS-PRODUCT", kit.what, "3", withdrawal.digest, "remove"]

    # back to what was there before: old content, new sequence
    kit.statements.append(withdrawal)
    assert kit.install(first)[-1] == f"PPS-INSTALLED {first.name}"


Case = Callable[[KitSite, Statement], list[Signed]]


def _people(*names: str) -> Case:
    return lambda kit, statement: [kit.current(statement), kit.signed(statement, *names)]


def _at(changes: dict[str, object]) -> dict[str, Any]:
    """Durations are counted from now, when the test runs."""
    return {key: now() + value if isinstance(value, timedelta) else value for key, value in changes.items()}


def _changed(**changes: object) -> Case:
    def case(kit: KitSite, statement: Statement) -> list[Signed]:
        statement = replace(statement, **_at(changes))
        return [kit.current(statement), kit.signed(statement)]

    return case


def _text(change: Callable[[str], str]) -> Case:
    return lambda kit, statement: [kit.current(statement), kit.signed(change(statement.text))]


def _last_line_first(text: str) -> str:
    form, *lines = text.splitlines(keepends=True)
    return "".join([form, lines[-1], *lines[:-1]])


def _long_and_of_nobody(kit: KitSite, statement: Statement) -> list[Signed]:
    return [kit.current(statement), Signed(statement.text + "x" * 4096 + "\n")]


def _after_signing(kit: KitSite, statement: Statement) -> list[Signed]:
    signed = kit.signed(statement)
    return [kit.current(statement), Signed(statement.text.replace("files ", "files 1"), signed.signatures)]


def _one_person_with_two_keys(kit: KitSite, statement: Statement) -> list[Signed]:
    _keys(kit, f"signer second pps-coordinator rm {kit.people.key('second')}\n")
    return _people("rm", "second")(kit, statement)


def _two_of_one_role(kit: KitSite, statement: Statement) -> list[Signed]:
    _keys(kit, f"signer second release-manager somebody {kit.people.key('second')}\n")
    return _people("rm", "second")(kit, statement)


def _one_key_under_two_names(kit: KitSite, statement: Statement) -> list[Signed]:
    _keys(kit, f"signer twin pps-coordinator somebody {kit.people.key('rm')}\n")
    twin = kit.people.signature("rm", statement.text, says="twin")
    return [kit.current(statement), Signed(statement.text, (*kit.signed(statement, "rm").signatures, twin))]


def _a_name_that_stands_there_twice(kit: KitSite, statement: Statement) -> list[Signed]:
    _keys(kit, f"signer coordinator pps-coordinator somebody {kit.people.key('stranger')}\n")
    either = kit.people.signature("stranger", statement.text, says="coordinator")
    return [kit.current(statement), Signed(statement.text, (*kit.signed(statement).signatures, either))]


def _revoked(kit: KitSite, statement: Statement) -> list[Signed]:
    _keys(kit, f"revoked {kit.people.key('coordinator')}\n")
    return _people("rm", "coordinator")(kit, statement)


def _keys(kit: KitSite, more: str) -> None:
    keys = kit.folder / "kit/etc/root"
    keys.write_text(keys.read_text() + more)


def _another_namespace(kit: KitSite, statement: Statement) -> list[Signed]:
    if kit.people.scheme is Scheme.OPENSSL:  # there the document's first line is the namespace
        other = kit.signed(statement.text.replace("pps-statement 1", "pps-current 1"))
        return [kit.current(statement), Signed(statement.text, other.signatures)]
    other = kit.people.signed(statement.text, "rm", "coordinator", namespace="pps-current")
    return [kit.current(statement), other]


def _the_other_scheme(kit: KitSite, statement: Statement) -> list[Signed]:
    other = People(kit.folder / "other", Scheme.SSH if kit.people.scheme is Scheme.OPENSSL else Scheme.OPENSSL)
    return [kit.current(statement), other.signed(statement.text, "rm", "coordinator")]


def _no_list(kit: KitSite, statement: Statement) -> list[Signed]:
    return [kit.signed(statement)]


def _list(**changes: object) -> Case:
    return lambda kit, statement: [kit.current(statement, **_at(changes)), kit.signed(statement)]


def _list_of_somebody(kit: KitSite, statement: Statement) -> list[Signed]:
    made = kit.current(statement).document
    return [kit.people.signed(made, "rm", namespace="pps-current"), kit.signed(statement)]


def _list_with_a_later_one(kit: KitSite, statement: Statement) -> list[Signed]:
    return [kit.current(replace(statement, sequence=2)), kit.signed(statement)]


#: what is sent -> the word of the refusal. Each is sent with the right payload.
CASES: dict[str, tuple[str, Case]] = {
    "nobody": ("signatures", lambda kit, statement: [kit.current(statement), Signed(statement.text)]),
    "one signature": ("signatures", _people("rm")),
    "one person twice": ("signatures", _people("rm", "rm")),
    "one person with two keys and two roles": ("signatures", _one_person_with_two_keys),
    "two release managers": ("signatures", _two_of_one_role),
    "one key under two names": ("signatures", _one_key_under_two_names),
    "a name that stands there twice": ("signatures", _a_name_that_stands_there_twice),
    "somebody without a role": ("signatures", _people("rm", "online")),
    "a stranger": ("signatures", _people("rm", "stranger")),
    "a root key": ("signatures", _people("rm", "root-1")),
    "a revoked key": ("signatures", _revoked),
    "another namespace": ("signatures", _another_namespace),
    "the other scheme": ("signatures", _the_other_scheme),
    "changed after signing": ("signatures", _after_signing),
    "ended": ("expired", _changed(issued=-2 * HOUR, expires=-HOUR)),
    "from the future": ("clock", _changed(issued=HOUR, expires=2 * HOUR)),
    "another product": ("policy", _changed(product="other", preview="other-1")),
    "another platform": ("policy", _changed(platform="debian13-amd64")),
    "too many bytes packed": ("policy", _changed(packed=(4 << 30) + 1)),
    "too many bytes unpacked": ("policy", _changed(unpacked=(16 << 30) + 1)),
    "too many files": ("policy", _changed(files=200_001)),
    "far ahead": ("replay", _changed(sequence=1002)),
    "a line more": ("signed", _text(lambda text: text + "also this\n")),
    "a line less": ("signed", _text(lambda text: text.replace("files ", "").replace("\n\n", "\n"))),
    "lines in another order": ("signed", _text(_last_line_first)),
    "two blanks": ("signed", _text(lambda text: text.replace("product ", "product  "))),
    "a number with a zero before it": ("signed", _text(lambda text: text.replace("sequence ", "sequence 0"))),
    "a number in another writing": ("signed", _text(lambda text: text.replace("sequence ", "sequence 0x"))),
    "a name out of its folder": ("signed", _text(lambda text: text.replace("preview client", "preview ../client"))),
    "a command in a name": ("signed", _text(lambda text: text.replace("preview client", "preview $(id)client"))),
    "another action": ("signed", _text(lambda text: text.replace("action install", "action run"))),
    "another kind of document": ("signed", _text(lambda text: text.replace("pps-statement 1", "pps-statement 2"))),
    "longer than 4096 bytes": ("signed", _text(lambda text: text + "x" * 4096 + "\n")),
    # told before anybody has looked at signatures
    "longer than 4096 bytes, of nobody": ("signed", _long_and_of_nobody),
    "no list of what is current": ("stale", _no_list),
    "a list that has ended": ("stale", _list(issued=-2 * WEEK, expires=-WEEK)),
    "a list for a year": ("signed", _list(expires=52 * WEEK)),
    "a list from the future": ("clock", _list(issued=HOUR, expires=2 * HOUR)),
    "a list of somebody else": ("signed", _list_of_somebody),
    "a list with a later one": ("replay", _list_with_a_later_one),
    "a list without it": ("replay", _list(heads={}, issued=timedelta(seconds=60))),
    "a list with newer keys": ("keys", _list(root=2)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused_and_nothing_has_changed(kit: KitSite, case: str) -> None:
    word, documents = CASES[case]
    tarball = kit.store.tarballs[first_and_next(kit)[0]]
    sent = documents(kit, kit.statement(tarball))
    before = all_of(kit.folder)

    said = kit.put(sent, kit.payload(tarball))

    assert refused(said) == word, said
    assert all_of(kit.folder) == before


def test_no_sequence_comes_again_or_becomes_something_else(kit: KitSite) -> None:
    first, following = (kit.store.tarballs[name] for name in first_and_next(kit))
    one = kit.statement(first)
    kit.statements.append(one)
    two = kit.statement(following)
    old_list = kit.current(one)
    assert kit.put([old_list, kit.signed(one)], kit.payload(first))[-1].startswith("PPS-INSTALLED")
    assert kit.put([kit.current(two, issued=now() + timedelta(seconds=1)), kit.signed(two)], kit.payload(following))[
        -1
    ].startswith("PPS-INSTALLED")

    # also with the list of that time, which has not ended
    assert refused(kit.put([old_list, kit.signed(one)], kit.payload(first))) == "replay"
    other = replace(two, manifest=first.digest, preview=first.name)
    assert refused(kit.put([kit.signed(other)], kit.payload(first))) == "replay"
    assert refused(kit.put([kit.signed(replace(withdrawal_of(one, now=now(), holds_for=WEEK)))])) == "replay"
    # three that does not know our two: somebody else was told another story
    assert (
        refused(kit.put([kit.signed(replace(two, sequence=3, previous="a" * 64))], kit.payload(following))) == "replay"
    )
    # the same again is no fault
    assert kit.put([kit.signed(two)], kit.payload(following))[-1] == "PPS-ALREADY list"


def test_what_was_announced_in_time_is_not_announced_later(kit: KitSite) -> None:
    first = kit.store.tarballs[first_and_next(kit)[0]]
    date = kit.folder / "date"
    date.mkdir()
    clock = date / "date"
    clock.write_text("#!/bin/sh\necho $(($(/bin/date +%s) + 864000))\n")
    clock.chmod(0o755)
    settings = kit.folder / "kit/etc/kit"
    usual = settings.read_text()
    in_ten_days = usual.replace("path ", f"path {date}:")
    assert kit.install(first, expires=now() + 2 * WEEK)[-1].startswith("PPS-INSTALLED")

    settings.write_text(in_ten_days)
    assert refused(kit.ask("tag", kit.what)) == "stale"
    assert kit.ask("state")[1].startswith("PPS-CURRENT stale")
    settings.write_text(usual)
    assert kit.ask("tag", kit.what)[-1].startswith("PPS-VOTAG-END added")
    soon = kit.statement(first, expires=now() + WEEK)
    kit.put([kit.current(soon, issued=now() + timedelta(seconds=2)), kit.signed(soon)], kit.payload(first))
    settings.write_text(in_ten_days)
    assert refused(kit.ask("tag", kit.what)) == "expired"
    # and then it may go without another signature
    assert kit.ask("untag", kit.what, soon.tag)[-1].startswith("PPS-VOTAG-END removed")
    assert kit.ask("remove", kit.what, first.name)[-1] == f"PPS-REMOVED {first.name}"


def test_what_was_touched_is_not_announced_and_other_tags_are_not_taken(kit: KitSite) -> None:
    first = kit.store.tarballs[first_and_next(kit)[0]]
    kit.install(first)
    (kit.root / first.name / "bin/tool").write_text("#!/bin/sh\necho mine\n")
    tags = kit.folder / "tags/ce.example.org/ops"
    tags.mkdir(parents=True)
    (tags / "ops.list").write_text("VO-ops-OTHER\n")

    assert refused(kit.ask("tag", kit.what)) == "damaged"
    assert refused(kit.ask("untag", kit.what, "VO-ops-OTHER")) == "unknown"
    assert refused(kit.ask("remove", kit.what, "..")) == "usage"
    assert refused(kit.ask("remove", kit.what, "somebodys-folder")) == "unknown"
    assert (tags / "ops.list").read_text() == "VO-ops-OTHER\n"


# --- keys -----------------------------------------------------------------------------------------------------------


def _signed_root(kit: KitSite, number: int, *holders: str, **changes: Any) -> Signed:
    return kit.people.signed(kit.people.root(number, **changes).text, *holders, namespace="pps-root")


def test_two_of_three_offline_keys_replace_the_signers_one_number_at_a_time(kit: KitSite) -> None:
    first = kit.store.tarballs[first_and_next(kit)[0]]
    people = kit.people
    others = (people.signer("rm-new", "release-manager"), people.signer("coordinator-new", "pps-coordinator"))
    two = _signed_root(kit, 2, "root-1", "root-3", signers=others, revoked=(people.key("rm"),))
    three = _signed_root(kit, 3, "root-1", "root-2", signers=others)
    four = _signed_root(kit, 4, "root-2", "root-3", signers=others)

    assert refused(kit.put([three])) == "keys"
    for not_enough in (
        ["root-1"],
        ["root-1", "root-1"],
        ["root-1", "rm"],
        ["rm", "coordinator"],
        ["root-1", "stranger"],
    ):
        changed = _signed_root(kit, 2, *not_enough, signers=others)
        assert refused(kit.put([changed])) == "keys", not_enough
    assert kit.ask("state")[0].split()[-1] == "1"

    assert kit.put([two])[0] == "PPS-KEYS 2"
    statement = kit.statement(first)
    assert refused(kit.put([kit.current(statement, root=2), kit.signed(statement)])) == "signatures"
    # a site that was asleep meanwhile is told all of them, in one request; what it has is nothing new
    said = kit.put(
        [two, three, four, kit.current(statement, root=4), kit.signed(statement, "rm-new", "coordinator-new")],
        kit.payload(first),
    )
    assert said[:2] == ["PPS-KEYS 3", "PPS-KEYS 4"]
    assert said[-1].startswith("PPS-INSTALLED")
    assert kit.ask("state")[0].split()[-1] == "4"


def test_what_a_revoked_key_has_signed_is_not_announced_any_more(kit: KitSite) -> None:
    first = kit.store.tarballs[first_and_next(kit)[0]]
    kit.install(first)
    people = kit.people
    signers = (people.signer("rm-new", "release-manager"), people.signer("coordinator", "pps-coordinator"))
    kit.put([_signed_root(kit, 2, "root-1", "root-2", signers=signers, revoked=(people.key("rm"),))])

    assert refused(kit.ask("tag", kit.what)) == "signatures"


# --- payloads -------------------------------------------------------------------------------------------------------


def _payload(manifest: bytes, members: Callable[[tarfile.TarFile], None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo(".pps-new/MANIFEST")
        info.size = len(manifest)
        tar.addfile(info, io.BytesIO(manifest))
        members(tar)
    return b"PPS-PAYLOAD 2 %12d %8d\n" % (len(out.getvalue()), len(manifest)) + out.getvalue()


def _member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644
) -> Callable[..., None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.mode = mode
        info.type, info.linkname, info.size = kind, target, len(content)
        tar.addfile(info, io.BytesIO(content))

    return add


def _line(name: str, content: bytes = b"") -> str:
    return f"f {hashlib.sha256(content).hexdigest()} 0644 {len(content)} {name}\n"


HEAD = "# PPS-MANIFEST 1\n# client client 1.0\n"
#: what two people were given to sign, or what is sent instead of what they signed
HOSTILE: dict[str, tuple[str, Callable[..., None]]] = {
    "a hard link": (_line("a"), _member(".pps-new/a", kind=tarfile.LNKTYPE, target="../../state/current")),
    "a link that is a file": (_line("a"), _member(".pps-new/a", kind=tarfile.SYMTYPE, target="/etc/passwd")),
    "a FIFO": (_line("a"), _member(".pps-new/a", kind=tarfile.FIFOTYPE)),
    "a device": (_line("a"), _member(".pps-new/a", kind=tarfile.CHRTYPE)),
    "our own mark": (_line(".pps-ok", b"x"), _member(".pps-new/.pps-ok", b"x")),
    "our own mark, not listed": (_line("a"), _member(".pps-new/.pps-ok", b"x")),
    "a mark in a folder": (_line("lib/.pps-site"), _member(".pps-new/lib/.pps-site")),
    "a name out of it": (_line("a"), _member(".pps-new/../../a")),
    "a name out of it, listed": (_line("../a"), _member(".pps-new/../a")),
    "an absolute name": (_line("/tmp/a"), _member("/tmp/a")),
    "a link out of it": ("l - 0777 0 a -> ../b\n", _member(".pps-new/a", kind=tarfile.SYMTYPE, target="../b")),
    "a link to the root": ("l - 0777 0 a -> /etc\n", _member(".pps-new/a", kind=tarfile.SYMTYPE, target="/etc")),
    "a set-user bit": (_line("a").replace("0644", "4755"), _member(".pps-new/a", mode=0o4755)),
    "another content": (_line("a", b"good"), _member(".pps-new/a", b"evil")),
    "a file that is not listed": (_line("a"), _member(".pps-new/b")),
    "a larger file than is signed": (_line("a", b"x" * 5000), _member(".pps-new/a", b"x" * 5000)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_payload_changes_not_one_byte_elsewhere(kit: KitSite, case: str) -> None:
    line, member = HOSTILE[case]
    manifest = (HEAD + line).encode()
    first = kit.store.tarballs[first_and_next(kit)[0]]
    digest = hashlib.sha256(manifest).hexdigest()
    statement = kit.statement(first, manifest=digest, preview=f"client-1.0-PPS-{digest[:12]}", unpacked=4096, files=1)
    before = all_of(kit.folder)

    said = kit.put([kit.current(statement), kit.signed(statement)], _payload(manifest, member))

    assert refused(said) == "damaged", said
    assert all_of(kit.folder) == before


def test_another_tarball_than_was_signed_is_refused(kit: KitSite) -> None:
    first, following = (kit.store.tarballs[name] for name in first_and_next(kit))
    statement = kit.statement(first)

    said = kit.put([kit.current(statement), kit.signed(statement)], kit.payload(following))

    assert refused(said) == "damaged", said
    assert not (kit.root / first.name).exists()


@pytest.mark.needs("root")
@pytest.mark.parametrize("what", ["payload", "unpacked", "manifest", "announced"])
def test_a_bomb_writes_less_than_a_mebibyte_more_than_was_signed(one_kit: KitSite, what: str) -> None:
    """On a disk with room for what is signed and a mebibyte it is refused as what it is, not for want of room."""
    kit, signed = one_kit, 200_000
    first = kit.store.tarballs[first_and_next(kit)[0]]
    zeros = b"\0" * (64 << 20)
    manifest = (HEAD + _line("a", b"\0" * 1000)).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    statement = kit.statement(
        first, manifest=digest, preview=f"client-1.0-PPS-{digest[:12]}", packed=signed, unpacked=signed, files=1
    )
    sent = _payload(manifest, _member(".pps-new/a", zeros))
    if what == "payload":
        sent = b"PPS-PAYLOAD 2 %12d %8d\n" % (len(zeros), len(manifest)) + zeros
    if what in ("manifest", "announced"):
        with io.BytesIO() as out:
            with tarfile.open(fileobj=out, mode="w:gz") as tar:
                _member(".pps-new/MANIFEST", zeros)(tar)
            packed = out.getvalue()
        sent = b"PPS-PAYLOAD 2 %12d %8d\n" % (len(packed), signed if what == "manifest" else len(zeros)) + packed
    came = envelope([kit.current(statement), kit.signed(statement)]).encode()
    sending = kit.folder / "sent"
    sending.write_bytes(came + b"full\n" + sent)
    steps = f"""
        mount -t tmpfs -o size={2 * signed + (1 << 20)},mode=755 tmpfs '{kit.root}' &&
        sh '{kit.folder}/kit/bin/pps-keep' pps-nonce put {len(came)} list 60 <'{sending}'
        df -B1 --output=used '{kit.root}' | tail -n 1
        ls -A '{kit.root}'
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", steps], capture_output=True, text=True, check=True, timeout=60)

    lines = done.stdout.strip().split("\n")
    assert any(line.startswith(("PPS-REFUSE damaged", "PPS-REFUSE unpack")) for line in lines), done
    assert lines[-1] == ".pps"


# --- killed ---------------------------------------------------------------------------------------------------------


def test_killed_at_any_instant_a_site_never_goes_back(one_kit: KitSite) -> None:
    kit, chance = one_kit, random.Random(1414)
    first, following = (kit.store.tarballs[name] for name in first_and_next(kit))
    began = time.monotonic()
    kit.install(first)
    usual = time.monotonic() - began
    one = kit.statements[0]
    two = kit.statement(following)
    came = envelope([kit.current(two, issued=now() + timedelta(seconds=1)), kit.signed(two)]).encode()
    sent = came + b"full\n" + kit.payload(following)
    old = envelope([kit.signed(one)]).encode()
    command = ["sh", str(kit.folder / "kit/bin/pps-keep"), "pps-nonce", "put", str(len(came)), "list", "60"]
    seen = set()
    for _ in range(30):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(sent)
            process.stdin.close()
        time.sleep(chance.uniform(0, usual))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        remembered = (kit.state / kit.what / "2").exists()
        holding = kit.ask("look", kit.what, following.name, following.digest)[-1]
        seen.add((remembered, holding))
        # however busy the machine is, some are killed before the end and some behind it
        usual *= 0.9 if remembered else 1.2
        assert holding in ("PPS-LOOK absent", "PPS-LOOK intact")
        assert remembered or holding == "PPS-LOOK absent"  # a name is not given before the sequence is on the disk
        if remembered:
            again = kit.ask("put", str(len(old)), "list", "60", stdin=old + b"full\n" + kit.payload(first))
            assert refused(again) == "replay"
            # as if nothing of it had come, for the next try
            (kit.state / kit.what / "2").unlink()
            shutil.rmtree(kit.root / following.name, ignore_errors=True)
    assert {(False, "PPS-LOOK absent"), (True, "PPS-LOOK intact")} <= seen

    assert kit.ask(*command[3:], stdin=sent)[-1].startswith(("PPS-INSTALLED", "PPS-ALREADY"))
    assert kit.ask("state")[2].split()[2] == "2"
    assert [p.name for p in kit.state.iterdir() if p.name.startswith(("work.", ".new."))] == []


# --- what the key can start -----------------------------------------------------------------------------------------


ASKED = """
id
sh
sh -c id
$(id)
`id`
pps-kit 1 n put 1; id
pps-kit 1 n state > x
pps-kit 1 n $(id)
pps-kit 1 n
pps-kit 2 n state
pps-kit 1 ../n state
pps-kit 1 n sh
/usr/lib/openssh/sftp-server
internal-sftp
scp -t .
rsync --server .
"""


def test_the_sequence_is_on_the_disk_before_the_preview_gets_its_name(one_kit: KitSite) -> None:
    """Whatever is killed in between: looked at by the mv that gives the name."""
    kit, seen = one_kit, one_kit.folder / "seen"
    tools = kit.folder / "tools"
    tools.mkdir()
    (tools / "mv").write_text(f"#!/bin/sh\nls '{kit.state / kit.what}' >>'{seen}' 2>&1\nexec /bin/mv \"$@\"\n")
    (tools / "mv").chmod(0o755)
    settings = kit.folder / "kit/etc/kit"
    settings.write_text(settings.read_text().replace("path ", f"path {tools}:"))

    assert kit.install(kit.store.tarballs[first_and_next(kit)[0]])[-1].startswith("PPS-INSTALLED")

    assert seen.read_text() == "1\n"


@pytest.mark.parametrize("asked", [*ASKED.split("\n")[:-1], "pps-kit 1 n put 1\nid", "pps-kit 1 n state " + "x" * 3000])
def test_nothing_but_the_kits_verbs_is_started(one_kit: KitSite, asked: str) -> None:
    before = all_of(one_kit.folder)
    done = subprocess.run(
        [str(one_kit.folder / "kit/bin/pps-receive")], input=b"", capture_output=True, check=False, timeout=20,
        env={"PATH": "/usr/bin:/bin", "SSH_ORIGINAL_COMMAND": asked}, cwd=one_kit.folder,
    )  # fmt: skip

    assert refused(done.stdout.decode().rstrip("\n").split("\n")) in ("kit", "usage")
    assert done.returncode == 1
    assert all_of(one_kit.folder) == before


def test_a_request_of_many_documents_is_cut_off(kit: KitSite) -> None:
    first = kit.store.tarballs[first_and_next(kit)[0]]
    statement = kit.statement(first)
    signature = Signature("rm", "x\n")

    assert refused(kit.ask("put", "65537", "list", "60")) == "usage"
    assert refused(kit.ask("put", "$((1))", "list", "60")) == "usage"
    assert refused(kit.put([Signed(statement.text, (signature,) * 9)])) == "signed"
    assert refused(kit.put([Signed("x\n")] * 41)) == "signed"
    for text in (
        b"PPS-DOCUMENT 1\nx\n",
        b"x\n",
        b"PPS-END\nx\n",
        b"PPS-DOCUMENT 1\n\0\nPPS-END\n",
        b"PPS-DOCUMENT 9999\n",
    ):
        assert refused(kit.ask("put", str(len(text)), "list", "60", stdin=text)) == "signed"
    assert refused(kit.ask("put", "100", "list", "60", stdin=b"PPS-END\n")) == "signed"
