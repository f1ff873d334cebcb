"""What somebody tries at a site with a kit who has taken the controller, with its keys and all that it sends.

Each attack says what came back. Who refused it is read out of that, not out of what we expect.
"""

from __future__ import annotations

import hashlib
import io
import re
import socket
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from pps.activities.ports.packages import Tarball
from pps.domain.trust.keys import SignerRole
from pps.domain.trust.signed import Signed
from pps.domain.trust.statement import Statement
from pps.sandbox.kit.machine import KitMachine, ReachedSite
from pps.sandbox.kit.previews import SMALL, Tree
from pps.sandbox.kit.site import now
from pps.sandbox.kit.ssh import free_port, wait_for_port

_LONG_AGO = timedelta(minutes=10)
_LISTS_APART = timedelta(minutes=1)
_SPIED = "/srv/spied"
_BOMB = 64 << 20

#: What comes back -> who said no.
REFUSERS: Mapping[str, str] = {
    "administratively prohibited": "sshd (the kit's line in authorized_keys)",
    "PPS-REFUSE kit": "the receiver: no request of a kit",
    "PPS-REFUSE damaged": "the receiver: not what MANIFEST says",
    "PPS-REFUSE unpack": "the receiver: more than MANIFEST says",
    "PPS-REFUSE signatures": "the signature check",
    "PPS-REFUSE keys": "the check of the keys' numbers",
    "PPS-REFUSE replay": "the site's memory of sequences",
    "PPS-REFUSE stale": "the check that news are fresh",
    "Permission denied": "the file system",
}


@dataclass
class Scene:
    """A site that follows what its two people sign, over the controller's connection."""

    site: ReachedSite
    releases: Sequence[Tarball]
    """the first two are installed in `begin`, the third in `end`"""
    lists: list[Signed] = field(default_factory=list)
    """of what is in force, as they were sent"""

    @classmethod
    def with_releases(cls, site: ReachedSite) -> Scene:
        """Of three releases; the second brings a hostile program, where it runs as an account of its own."""
        made = (site.store.make(tree, f"1.{n}") for n, tree in enumerate((_TREES[0], _second(site), _TREES[2])))
        return cls(site, tuple(made))

    def begin(self) -> list[str]:
        """Two releases are installed; a deputy gets a key, which is stolen and revoked. Returns what is not so."""
        wrong = [*self._installed(0), *self._installed(1)]
        if "added" not in (said := self.site.ask("tag", self.site.what)[-1]):
            wrong.append(f"The tag of a signed release was not added: {said}")
        taken = self.site.put([self.keys(2), self.keys(3)])
        return wrong if taken[:2] == ["PPS-KEYS 2", "PPS-KEYS 3"] else [*wrong, f"Keys were not taken: {taken[-1]}"]

    def end(self) -> list[str]:
        """A fresh list and the third release are installed; what is not as it should be."""
        return self._installed(2)

    def _installed(self, which: int) -> list[str]:
        tarball = self.releases[which]
        statement = self.site.statement(tarball)
        self.site.statements.append(statement)
        said = self.site.put([self._news(statement), self.site.signed(statement)], self.site.payload(tarball))[-1]
        there = said == f"PPS-INSTALLED {tarball.name}"
        return [] if there else [f"The signed release {tarball.name} was not installed: {said}"]

    def _news(self, newest: Statement, holds_for: timedelta = timedelta(days=6)) -> Signed:
        issued = now() - _LONG_AGO + len(self.lists) * _LISTS_APART
        self.lists.append(self.site.current(newest, issued=issued, expires=issued + holds_for))
        return self.lists[-1]

    def silence(self) -> None:
        """The site's newest list of what is in force has ended: one that held for some minutes, not for a week."""
        self.site.put([self._news(self.site.statements[-1], timedelta(minutes=2))])

    def keys(self, number: int) -> Signed:
        """A list of keys, signed by two who hold root keys; in number 2 `deputy` may sign, from 3 on no more."""
        people = self.site.people
        root = people.root(number)
        deputy = people.signer("deputy", SignerRole.PPS_COORDINATOR)
        changed = {"signers": (*root.signers, deputy)} if number == 2 else {"revoked": (deputy.key,)}
        return people.signed(replace(root, **changed).text, "root-1", "root-2", namespace="pps-root")

    def sent(self, *signers: str, payload: bytes | None = None, before: Iterable[Signed] = ()) -> str:
        """The next release, signed by these; as the centre would send it, or with another payload."""
        statement = self.site.statement(self.releases[2])
        given = self.site.payload(self.releases[2]) if payload is None else payload
        return self.site.put([*before, self.site.signed(statement, *signers)], given)[-1]


_TREES: Sequence[Tree] = tuple({**SMALL, "bin/tool": f"#!/bin/sh\necho 1.{n}\n".encode()} for n in range(3))


def _second(site: ReachedSite) -> Tree:
    """What two people have signed without knowing: where it is sourced it writes wherever it can, and says where."""
    if not isinstance(site, KitMachine):
        return _TREES[1]
    places = (
        "/opt/pps-kit/etc/root", "/opt/pps-kit/etc/kit", "/opt/pps-kit/bin/pps-keep", "/opt/pps-kit/bin/mine",
        "/opt/pps-kit/home/.ssh/authorized_keys", "/srv/state/root.9", f"/srv/state/{site.what}/1",
        "/srv/previews/mine", "/srv/tags/ce.example.org/ops/ops.list", "/etc/sudoers.d/mine",
    )  # fmt: skip
    spy = f"""for place in {" ".join(places)}; do
    why=$( (echo mine >>"$place") 2>&1) && echo "it wrote to $place" || echo "$why"
    done >{_SPIED}/said; id -un >{_SPIED}/who
    """
    return {**_TREES[1], "etc/profile.d/grid-env.sh": spy.encode()}


@dataclass(frozen=True)
class Attack:
    """One way in."""

    tried: str
    refusals: tuple[str, ...]
    """of `REFUSERS`: what comes back where the right one refuses"""
    act: Callable[[Scene], str]
    """tries it, and returns what came back"""
    before: Callable[[Scene], None] = lambda scene: None
    """what has happened at the site by then"""
    needs_accounts: bool = False

    def refused_by(self, said: str) -> str:
        """Who refused; "" if it is not known that anybody did."""
        return next((REFUSERS[words] for words in self.refusals if words in said), "")


def _asked(*words: str) -> Callable[[Scene], str]:
    def act(scene: Scene) -> str:
        done = scene.site.ssh(*words)
        return _last((done.stdout + b"\n" + done.stderr).decode(errors="replace"))

    return act


def _last(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")


def _through(scene: Scene) -> str:
    """A port at the site that leads on to another one."""
    with socket.create_server(("127.0.0.1", 0)) as behind:
        behind.setblocking(False)
        port = free_port()
        way = f"{port}:127.0.0.1:{behind.getsockname()[1]}"
        command = [*scene.site.connection(), "-o", "LogLevel=INFO", "-N", "-L", way, "127.0.0.1"]
        client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            wait_for_port(port)
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(b"x")
                connection.recv(1)
            with suppress(BlockingIOError):
                behind.accept()
                return "the port behind the site was reached"
        finally:
            client.kill()
            _, said = client.communicate()
    return next((line for line in said.splitlines() if "open failed" in line), _last(said))


def repacked(payload: bytes, path: str, content: bytes) -> bytes:
    """A payload in which one file has another content; its MANIFEST is the one that was signed."""
    head, _, packed = payload.partition(b"\n")
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(packed)) as source,
        tarfile.open(fileobj=out, mode="w:gz", format=tarfile.GNU_FORMAT) as target,
    ):
        for member in source:
            file: io.BufferedIOBase | None = source.extractfile(member) if member.isreg() else None  # type: ignore[assignment]
            if member.name == f".pps-new/{path}":
                member.size, file = len(content), io.BytesIO(content)
            target.addfile(member, file)
    return b"PPS-PAYLOAD 2 %12d %8d\n" % (len(out.getvalue()), int(head.split()[3])) + out.getvalue()


def _with_tool(content: bytes) -> Callable[[Scene], str]:
    return lambda scene: scene.sent(payload=repacked(scene.site.payload(scene.releases[2]), "bin/tool", content))


def _twice(scene: Scene) -> str:
    """Also under the other's name."""
    people, text = scene.site.people, scene.site.statement(scene.releases[2]).text
    twice = (people.signature("rm", text), people.signature("rm", text, says="coordinator"))
    return scene.site.put([Signed(text, twice)], scene.site.payload(scene.releases[2]))[-1]


def _older(scene: Scene) -> str:
    """All of it is as it was signed then, also the list of what was in force."""
    signed = scene.site.signed(scene.site.statements[0])
    return scene.site.put([scene.lists[0], signed], scene.site.payload(scene.releases[0]))[-1]


def _spy(scene: Scene) -> str:
    site = scene.site
    site.ask("probe", site.what, scene.releases[1].name, "-", "20", "-")
    folder = site.places[1] / Path(_SPIED).name
    try:
        lines, who = (folder / "said").read_text().splitlines(), (folder / "who").read_text().strip()
    except FileNotFoundError:
        return "the program did not run"
    wrote = [line for line in lines if not line.endswith("Permission denied")]
    return _last("\n".join(wrote)) if wrote else f"{len(lines)} times, as {who}: Permission denied"


ATTACKS: Sequence[Attack] = (
    Attack("a shell: ssh pps@site id", ("PPS-REFUSE kit",), _asked("127.0.0.1", "id")),
    Attack("files by sftp", ("PPS-REFUSE kit",), _asked("-s", "127.0.0.1", "sftp")),
    Attack("a way on to another port behind the site: ssh -L", ("administratively prohibited",), _through),
    Attack(
        "a command in a verb's argument: $(...)",
        ("PPS-REFUSE kit",),
        _asked("127.0.0.1", "pps-kit 1 n look client@debian12-amd64 $(touch${IFS}/srv/state/mine) 0"),
    ),
    Attack(
        "a signed release in which one program was swapped", ("PPS-REFUSE damaged",),
        _with_tool(b"#!/bin/sh\necho no!\n"),
    ),
    Attack(
        f"a bomb: a signed release in which one program unpacks to {_BOMB >> 20} MiB",
        ("PPS-REFUSE unpack", "PPS-REFUSE damaged"),
        _with_tool(b"\0" * _BOMB),
    ),
    Attack("a release that one person has signed", ("PPS-REFUSE signatures",), lambda scene: scene.sent("rm")),
    Attack("a release that one person has signed twice, under two names", ("PPS-REFUSE signatures",), _twice),
    Attack(
        "a release signed with a key that was stolen, and revoked since", ("PPS-REFUSE signatures",),
        lambda scene: scene.sent("rm", "deputy"),
    ),
    Attack("back to an older release, just as it was signed then", ("PPS-REFUSE replay",), _older),
    Attack(
        "a list of keys two ahead, so that the one between is not seen", ("PPS-REFUSE keys",),
        lambda scene: scene.site.put([scene.keys(5)])[-1],
    ),
    Attack(
        "no news for longer than they hold: an older list of what is in force with a signed release",
        ("PPS-REFUSE stale",),
        lambda scene: scene.sent(before=scene.lists[:1]),
        before=Scene.silence,
    ),
    Attack(
        "a program of an installed release writes to kit, keys, memory, previews", ("Permission denied",), _spy,
        needs_accounts=True,
    ),
)  # fmt: skip

#: What is no change: which number the receiver's lock had, and what the spy tells us.
_AS_SEEN_THERE = re.compile(r"^/proc/\d+/root")
_NO_CHANGE = re.compile(rf"/previews/\.pps/(lock|free)\.\d+$|{_SPIED}(/|$)")


def seen_at(site: ReachedSite) -> Mapping[str, str]:
    """Every file, link and folder of a site: kind, rights, owner; of files time and digest, of links the target."""
    return {
        name: _described(path)
        for place in site.places
        for path in (place, *sorted(place.rglob("*")))
        if not _NO_CHANGE.search(name := _AS_SEEN_THERE.sub("", str(path)))
    }


def _described(path: Path) -> str:
    found = path.lstat()
    words = [f"{found.st_mode:o} {found.st_uid}:{found.st_gid}"]
    if stat.S_ISLNK(found.st_mode):
        words.append(str(path.readlink()))
    elif stat.S_ISREG(found.st_mode):
        words += [str(found.st_mtime_ns), hashlib.sha256(path.read_bytes()).hexdigest()]
    return " ".join(words)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Names of what is not as it was."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
