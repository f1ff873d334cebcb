"""Sites that are simulated: they speak as our scripts do, and break in the ways that a test chooses.

What really is at a site is kept here, so that a test compares the record with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pps.activities.clients.probing import PROBES
from pps.activities.ports.sites import SiteLimits, SshTarget
from pps.activities.sites.receiver import receiver_script
from pps.activities.sites.script import load_script
from pps.activities.sites.visits import VISIT
from pps.domain.base.errors import SiteUnreachableError

#: How a connection may go wrong. `lost`, `killed after` and `late after`: what was asked for is done, and nobody hears
#: of it. `late`: it keeps the others waiting, so it is cut where there is a later turn for it.
FAULTS = ("unreachable", "cut", "lost", "busy", "refused", "killed before", "killed after", "late", "late after")


class KilledError(Exception):
    """The task's process has died in this instant."""


@dataclass
class SimulatedSite:
    """What is at one site, in truth."""

    held: dict[str, str] = field(default_factory=dict)
    """preview -> digest of its MANIFEST"""
    damaged: set[str] = field(default_factory=set)
    verified: set[str] = field(default_factory=set)
    """previews whose probes have passed since we installed them"""
    tags: set[str] = field(default_factory=set)
    is_sick: bool = False
    """its probes fail"""
    fault: str = ""
    """of the next connection"""


class SimulatedSites:
    """A `SiteShell`."""

    def __init__(self, names: Iterable[str]) -> None:
        self.sites = {name: SimulatedSite() for name in names}
        self.tag_of: dict[str, str] = {}
        """tag -> the preview that it announces"""
        self.wrong: list[str] = []
        """what must never happen, and did"""

    @asynccontextmanager
    async def open(
        self, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
    ) -> AsyncIterator[_Conversation]:
        site = self.sites[target.site]
        fault, site.fault = site.fault, ""
        if fault == "unreachable":
            raise SiteUnreachableError(target.site, "no answer on port 22.", "Try again later.")
        if fault == "killed before":
            raise KilledError
        if fault == "late":
            _cut(target.site)
        yield _Conversation(self, target.site, fault, _SCRIPTS[script], tuple(arguments))


def _cut(site: str) -> None:
    """As a batch does when the others have waited long enough (`batch.in_turns`); else its time is up one day."""
    if (visit := VISIT.get()) and visit.may_be_left:
        visit.left = True
        raise asyncio.CancelledError
    raise SiteUnreachableError(site, "nothing moved for 60 s.", "Try again later.")


@dataclass
class _Conversation:
    """One connection, to one of our scripts."""

    grid: SimulatedSites
    name: str
    fault: str
    script: str
    arguments: tuple[str, ...]
    lines: deque[str] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.site = self.grid.sites[self.name]
        if self.fault == "cut" and self.script != "receiver":
            return  # cut before a word was said
        if self.fault in ("busy", "refused") and self.script != "probes":
            self._say(*self._no())
        else:
            getattr(self, f"_{self.script}")(*self.arguments)

    async def read_line(self) -> str | None:
        if self.lines:
            return self.lines.popleft()
        if self.fault in ("cut", "lost"):
            raise SiteUnreachableError(self.name, "the connection broke.", "Try again later.")
        if self.fault == "killed after":
            raise KilledError
        if self.fault == "late after":
            _cut(self.name)
        return None

    async def write(self, text: str) -> None:
        self.base = text.split()[1] if text.startswith("delta ") else ""

    async def send_file(self, path: Path) -> None:
        name, digest = self.arguments[1:3]
        if self.fault == "cut":
            return  # a part arrived, and the receiver has taken it away again
        with path.open("rb") as file:
            assert file.readline().startswith(b"PPS-PAYLOAD 2 ")
            with tarfile.open(fileobj=file, mode="r|gz") as payload:
                manifest = payload.extractfile(payload.next())  # type: ignore[arg-type]
                assert manifest is not None and hashlib.sha256(manifest.read()).hexdigest() == digest
        if self.base and (self.base not in self.site.held or self.base in self.site.damaged):
            self._say("PPS-REFUSE damaged what arrived is not what was sent")
            return
        self.site.held[name] = digest
        self.site.damaged.discard(name)
        self.site.verified.discard(name)
        self._answer(f"PPS-INSTALLED {name}")

    async def finish(self) -> int:
        return 0

    # --- the scripts

    def _receiver(self, verb: str, *arguments: str) -> None:
        self._say("PPS-HELLO 1")
        name = arguments[0]
        intact = name in self.site.held and name not in self.site.damaged
        if verb == "install":
            self._say("PPS-PRODUCTION absent")
            if intact:
                self._answer("PPS-ALREADY list")
                return
            self._say(*(f"PPS-HAS {n} {d}" for n, d in self.site.held.items() if n != name), "PPS-READY")
        elif verb == "look":
            self._answer(f"PPS-LOOK {'intact' if intact else 'damaged x' if name in self.site.held else 'absent'}")
        else:
            if any(self.grid.tag_of.get(tag) == name for tag in self.site.tags):
                self.grid.wrong.append(f"{name} was removed at {self.name} under its tag")
            there = self.site.held.pop(name, None)
            self.site.damaged.discard(name)
            self.site.verified.discard(name)
            self._answer(f"PPS-REMOVED {name if there else 'absent'}")

    def _votag(self, action: str, folder: str, subcluster: str, vo: str, tag: str = "") -> None:
        self._say("PPS-VOTAG 1")
        there = tag in self.site.tags
        if action == "add":
            if self.grid.tag_of[tag] not in self.site.verified:
                self.grid.wrong.append(f"{tag} was added at {self.name}, where its preview was not verified")
            self.site.tags.add(tag)
            self._answer(f"PPS-VOTAG-END {'present' if there else 'added'}")
        elif action == "remove":
            self.site.tags.discard(tag)
            self._answer(f"PPS-VOTAG-END {'removed' if there else 'absent'}")
        else:
            self._say(*(f"PPS-TAG {t}" for t in sorted(self.site.tags)))
            self._answer("PPS-VOTAG-END listed")

    def _probes(self, prefix: str, *_: str) -> None:
        name = Path(prefix).name
        good = name in self.site.held and name not in self.site.damaged and not self.site.is_sick
        if good:
            self.site.verified.add(name)
        self._say("PPS-PROBES 1", *(f"PPS-PROBE {p} {'OK' if good else 'CRITICAL'} - said|" for p in PROBES))
        self._answer(f"PPS-PROBES-END {len(PROBES)}")

    def _no(self) -> tuple[str, ...]:
        if self.script == "receiver":
            return "PPS-HELLO 1", f"PPS-REFUSE {'busy' if self.fault == 'busy' else 'disk'} simulated"
        return "PPS-VOTAG 1", f"PPS-VOTAG-END {self.fault} simulated"

    def _say(self, *lines: str) -> None:
        self.lines.extend(lines)

    def _answer(self, line: str) -> None:
        """The word that tells that it is done; it is what gets lost."""
        if self.fault not in ("lost", "killed after"):
            self._say(line)


_SCRIPTS: Mapping[str, str] = {
    receiver_script(): "receiver",
    load_script("votag.sh"): "votag",
    load_script("probes.sh"): "probes",
}
