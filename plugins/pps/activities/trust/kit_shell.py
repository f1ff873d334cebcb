"""The way to sites of which some have a kit: what our scripts would do there is asked of the kit instead.

Whoever distributes, probes, announces or withdraws knows nothing of it: a kit speaks the lines of our own scripts. What
it wants signed comes from `Papers`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pps.activities.ports.sites import KIT, SiteChannel, SiteLimits, SiteShell, SshTarget
from pps.activities.sites.login_errors import cleaned
from pps.activities.sites.receiver import RefusedBySiteError, receiver_script
from pps.activities.sites.script import load_script
from pps.domain.base.errors import ConfigurationError, SiteError, SiteRefusedError


class Papers(Protocol):
    """What people have signed, as a kit wants it."""

    def to_install(self, preview: str) -> str | None:
        """Keys, what is current, and the newest statement that lets a preview be installed; None if there is none."""

    def to_remove(self, preview: str) -> str | None:
        """The same of a withdrawal; None if nobody has signed one."""

    def what_is(self, preview: str) -> str | None:
        """`product@platform` of a preview, by the statements."""

    def what_has(self, tag: str) -> str | None:
        """`product@platform` of a tag, by the statements."""


#: What a kit that says no with one of these words waits for; others are told as the receiver's own.
_NEXT_STEP = {
    "signatures": "Have it signed: pps sign ROLLOUT. If it says that nothing is to be signed, clear the task "
    "signatures.offer_statements of its rollout first.",
    "stale": "Send it a fresh list of what is in force; the nightly distribution does.",
    "keys": "Send it the keys that it lacks, in their order (docs/keys.md).",
    "replay": "Sign a statement with a higher sequence; look at what the site followed: verb state (docs/kit.md).",
    "policy": "Ask the site's root to allow it in the kit's etc/products.",
    "kit": "Ask the site's root for: /opt/pps-kit/bin/pps-kit-check",
    "clock": "Compare the clocks of site and centre.",
}


@dataclass(frozen=True, slots=True)
class KitShell:
    """`ports.SiteShell`: as `shell`, but for sites that have a kit, and what is signed for each of them."""

    shell: SiteShell
    papers: Mapping[str, Papers]

    def open(
        self, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
    ) -> AbstractAsyncContextManager[SiteChannel]:
        """See `ports.SiteShell`."""
        if target.site not in self.papers or script == KIT:
            return self.shell.open(target, script, arguments, limits)
        return self._asked(target, script, tuple(arguments), limits)

    @asynccontextmanager
    async def _asked(
        self, target: SshTarget, script: str, arguments: tuple[str, ...], limits: SiteLimits
    ) -> AsyncIterator[SiteChannel]:
        try:
            words, papers = self._request(target.site, script, arguments)
        except ConfigurationError as error:  # of kits: no other site is to suffer from it
            raise SiteError(target.site, f"has a kit. {error}") from error
        async with self.shell.open(target, KIT, words, limits) as channel:
            if papers:
                await channel.write(papers)
            yield _KitChannel(target.site, channel)

    def _request(self, site: str, script: str, arguments: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        """The kit's words for what our script was to do, and what is sent before all else."""
        if script == receiver_script():
            return self._of_the_receiver(site, arguments)
        if script == load_script("votag.sh"):
            return self._of_tags(site, arguments), ""
        if script == load_script("probes.sh"):
            prefix, _, _, _, before, limit, needed = arguments
            name = Path(prefix).name
            return ("probe", self._what(site, name), name, before, limit, needed), ""
        raise SiteError(site, "has a kit, which does nothing of this.", "Ask the site's administrator to do it.")

    def _of_the_receiver(self, site: str, arguments: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        verb, name = arguments[:2]
        if verb == "look":
            return ("look", self._what(site, name), name, arguments[2]), ""
        if verb == "install":
            papers = self.papers[site].to_install(name)
            if papers is None:
                raise SiteRefusedError(
                    site, f"has a kit, and {name} is not signed by two people.", _NEXT_STEP["signatures"]
                )
            return ("put", str(len(papers)), arguments[7], arguments[6]), papers
        papers = self.papers[site].to_remove(name)
        if papers is None:
            return ("remove", self._what(site, name), name), ""
        return ("put", str(len(papers)), "list", "900"), papers

    def _of_tags(self, site: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
        action, tag = arguments[0], arguments[-1]
        what = self.papers[site].what_has(tag)
        if what is None:
            raise SiteError(site, f"has a kit, and no statement has the tag {tag}.", _NEXT_STEP["signatures"])
        return ("tag", what) if action == "add" else ("untag", what, tag)

    def _what(self, site: str, preview: str) -> str:
        what = self.papers[site].what_is(preview)
        if what is None:
            raise SiteError(site, f"has a kit, and no statement names {preview}.", _NEXT_STEP["signatures"])
        return what


class _KitChannel:
    """A `SiteChannel` in which a kit's own refusals are errors that say what to do about them."""

    def __init__(self, site: str, channel: SiteChannel) -> None:
        self._site = site
        self._channel = channel

    async def read_line(self) -> str | None:
        """See `ports.SiteChannel`."""
        while (line := await self._channel.read_line()) == "PPS-WAIT":
            pass  # it is at work, and says so
        if line is not None and line.startswith("PPS-REFUSE "):
            _, word, why = [*line.split(" ", 2), "", ""][:3]
            if word in _NEXT_STEP:
                raise SiteRefusedError(self._site, f"its kit refused ({word}): {cleaned(why)}.", _NEXT_STEP[word])
            if word not in ("busy", "usage", "input", "io", "disk", "unsafe", "unpack", "damaged"):
                raise RefusedBySiteError(self._site, cleaned(word, 20), cleaned(why))
        return line

    async def write(self, text: str) -> None:
        """See `ports.SiteChannel`."""
        await self._channel.write(text)

    async def send_file(self, path: Path) -> None:
        """See `ports.SiteChannel`."""
        await self._channel.send_file(path)

    async def finish(self) -> int:
        """See `ports.SiteChannel`."""
        return await self._channel.finish()
