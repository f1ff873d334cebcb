"""Talk to the receiver, our POSIX-sh script at a site (scripts/receiver.sh): one connection, one stream."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pps.activities.ports.packages import Tarball
from pps.activities.ports.sites import SiteChannel, SiteLimits, SiteShell, SshTarget
from pps.activities.sites import visits
from pps.activities.sites.login_errors import cleaned
from pps.activities.sites.script import load_script
from pps.domain.base.errors import SiteBusyError, SiteError, SiteRefusedError, SiteUnreachableError
from pps.domain.base.names import is_name
from pps.domain.sites.site import Site


class Holding(StrEnum):
    """What a site really has of a preview."""

    INTACT = "intact"
    ABSENT = "absent"
    DAMAGED = "damaged"
    UNREACHABLE = "unreachable"


class How(StrEnum):
    """How a preview came to a site."""

    FULL = "full"
    DELTA = "delta"
    ALREADY = "already"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the receiver confirmed."""

    how: How
    production_before: str
    """what the production client was before anything was written (`PRODUCTION`)"""
    bytes_sent: int = 0
    replaced: str = ""
    """what was wrong with the preview that was in its place before"""
    note: str = ""
    """why every file of production was read although the site's entry does not ask for it"""


#: What a site says of its production: a sha256 of every file's content; or sha256 of names, modes and sizes, of inodes
#: and ctimes, and the newest ctime (scripts/production_digest.sh); or that there is none.
PRODUCTION = re.compile(r"absent|[0-9a-f]{64}|names:[0-9a-f]{64}:[0-9a-f]{64}:[0-9.]{1,40}")

_NEXT_STEP = {
    "unsafe": "Ask the site's administrator to do that; a preview folder must be its account's alone, and so must "
    "those above it (docs/sites.md).",
    "usage": "Ask the site's administrator for that.",
    "disk": "Ask the site's administrator for space in the preview folder; the nightly distribution tries again.",
    "io": "Ask the site's administrator whether our account may write to the preview folder.",
}


class RefusedBySiteError(SiteRefusedError):
    """The receiver said no.

    `word`: usage, input, io, disk, unsafe (others may write), unpack (transfer cut, tar unhappy), damaged (digests).
    """

    def __init__(self, site: str, word: str, why: str) -> None:
        next_step = _NEXT_STEP.get(word, "Look at the site's preview folder; the nightly distribution tries again.")
        super().__init__(site, f"the receiver refused ({word}): {why}.", next_step)
        self.word = word


#: Chooses what to send, given the previews that the site holds (name -> manifest digest): the file, and the
#: preview that it builds upon (None: a full one).
Choose = Callable[[Mapping[str, str]], Awaitable[tuple[Path, str | None]]]


def receiver_script() -> str:
    """The receiver's text, self-contained; a site's administrator may also install it as a command."""
    return load_script("receiver.sh")


@dataclass(frozen=True, slots=True)
class Receiver:
    """The receiver at one site; every method is one connection, and raises what the channel raises."""

    shell: SiteShell
    target: SshTarget
    site: Site
    limits: SiteLimits

    async def install(self, tarball: Tarball, choose: Choose, *, thoroughly: bool) -> Receipt:
        """Bring a tarball to the site, or find it there.

        Args:
            thoroughly: a preview that is there already is checked by every file's content, not by names,
                modes and sizes only.

        Raises:
            SiteError: `RefusedBySiteError`, `SiteBusyError`.
        """
        site = self.site
        async with self._start(
            *("install", tarball.name, tarball.digest, site.preview_root, site.production_root, site.profile_d),
            *(str(int(self.limits.total_s) + 1), "full" if thoroughly else "list", site.production_check),
        ) as channel:
            answers = _Answers(site.name, channel)
            held: dict[str, str] = {}
            production = replaced = note = ""
            while (answer := await answers.next())[0] != "READY":
                match answer:
                    case ("PRODUCTION", digest) if PRODUCTION.fullmatch(digest):
                        production = digest
                    case ("READ", why):
                        note = cleaned(why)
                    case ("HAS", text) if is_name(text.partition(" ")[0]):
                        name, _, digest = text.partition(" ")
                        held[name] = digest
                    case ("DAMAGED", why):
                        replaced = cleaned(why)
                    case ("ALREADY", _):
                        return Receipt(How.ALREADY, production, note=note)
            payload, base = await choose(held)
            await channel.write(f"delta {base}\n" if base else "full\n")
            await channel.send_file(payload)
            visits.sending(True)  # what it has not got yet lies between us
            try:
                while (answer := await answers.next())[0] not in ("INSTALLED", "ALREADY"):
                    if answer[0] == "GOT":
                        visits.sending(False)
            finally:
                visits.sending(False)
            # Wait for its tidying up; but installed is installed, whatever the connection does now.
            with suppress(SiteUnreachableError):
                await channel.finish()
            if answer[0] == "ALREADY":
                return Receipt(How.ALREADY, production, note=note)
            return Receipt(How.DELTA if base else How.FULL, production, payload.stat().st_size, replaced, note)

    async def look_at(self, tarball: Tarball) -> tuple[Holding, str]:
        """What the site has of a tarball, every file's content checked, and what is wrong with it."""
        async with self._start("look", tarball.name, tarball.digest, self.site.preview_root) as channel:
            answers = _Answers(self.site.name, channel)
            while (answer := await answers.next())[0] != "LOOK":
                pass
            holding, _, why = answer[1].partition(" ")
            if holding not in (Holding.INTACT, Holding.ABSENT, Holding.DAMAGED):
                raise SiteError(
                    self.site.name,
                    f"the receiver answered {cleaned(answer[1], 80)!r}.",
                    "Look at the account's login at the site.",
                )
            return Holding(holding), cleaned(why)

    async def remove(self, name: str) -> bool:
        """Remove a preview; False if it was not there. Other previews keep the files that they share with it."""
        async with self._start("remove", name, self.site.preview_root) as channel:
            answers = _Answers(self.site.name, channel)
            while (answer := await answers.next())[0] != "REMOVED":
                pass
            await channel.finish()
            return answer[1] != "absent"

    def _start(self, *arguments: str) -> AbstractAsyncContextManager[SiteChannel]:
        return self.shell.open(self.target, receiver_script(), arguments, self.limits)


class _Answers:
    """The receiver's lines `PPS-<WORD> <text>`; refusals become errors. Nothing in them is trusted."""

    def __init__(self, site: str, channel: SiteChannel) -> None:
        self._site = site
        self._channel = channel

    async def next(self) -> tuple[str, str]:
        while (line := await self._channel.read_line()) is not None:
            mark, _, text = line.partition(" ")
            if mark == "PPS-REFUSE":
                word, _, why = text.partition(" ")
                if word == "busy":
                    raise SiteBusyError(
                        self._site, f"{cleaned(why)}.", "Wait for it; the nightly distribution tries again."
                    )
                raise RefusedBySiteError(self._site, cleaned(word, 20), cleaned(why))
            if mark.startswith("PPS-"):
                return mark.removeprefix("PPS-"), text
        raise SiteError(
            self._site,
            "the receiver ended without an answer.",
            "Check that sh, tar, gzip, awk and coreutils are there.",
        )
