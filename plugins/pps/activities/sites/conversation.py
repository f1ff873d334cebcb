"""What every way to a site has in common: how our script is started there, and what a site may take.

An adapter of `ports.SiteShell` derives from `Conversation` and moves bytes; limits, lines and errors are
the same for all of them, since they are here.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pps.activities.ports.sites import KIT, SiteLimits
from pps.activities.sites import login_errors, visits
from pps.domain.base.errors import ConfigurationError, SiteError, SiteUnreachableError

# Linux takes 128 KiB in one argument, and the login shell gets the whole command as one.
_COMMAND_BYTES = 120_000
_PLAIN = frozenset(b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \t#$%&()*+,-./:;<=>?@[]^_{|}~`"')
# SFTP's first message, and how any server answers it: version 3 or higher.
_SFTP_INIT = b"\0\0\0\x05\x01\0\0\0\x03"
_SFTP_VERSION = re.compile(rb"\0\0[\0-\xff]{2}\x02\0\0\0[\x03-\x06]")
_SFTP_ANSWERS_IN_S = 3.0
_NOISE_KEPT = 8192
_LATER = "Check for a downtime; the nightly distribution tries again."


def _escaped(data: bytes) -> str:
    r"""For `printf %b`: everything that some shell would touch inside single quotes becomes `\0ooo`.

    csh looks for `!` and refuses newlines even there, and may mangle bytes above 127.
    """
    return "".join(chr(b) if b in _PLAIN else f"\\0{b:03o}" for b in data)


def start_command(script: str, arguments: Sequence[str], nonce: str) -> str:
    r"""One command line that starts a POSIX-sh script under any login shell, and leaves its standard input free.

    The script first prints a line `<nonce>`: what came before it is noise of the login.

    Raises:
        ConfigurationError: a NUL in script or arguments, or more than fits into one command line.
    """
    if script == KIT:
        return " ".join([KIT, nonce, *arguments])
    quoted = " ".join("'" + a.replace("'", "'\\''") + "'" for a in arguments)
    text = f"set -- {quoted}\nprintf '\\n%s\\n' {nonce}\n{script}"
    if "\0" in text:
        raise ConfigurationError("script for a site", "holds a NUL byte.", "Correct the argument.")
    # an account's bash may export a function of that name
    command = f"exec /bin/sh -c 'unset -f printf; eval \"$(printf %b \"$0\")\"' '{_escaped(text.encode())}'"
    if len(command) > _COMMAND_BYTES:
        raise ConfigurationError(
            "script for a site",
            f"is {len(command)} bytes long with its arguments; {_COMMAND_BYTES} fit.",
            "Send less as arguments.",
        )
    return command


class Conversation(ABC):
    """A `SiteChannel` with its limits; an adapter adds how bytes move.

    Three clocks: until the script's first line (`connect_s`), since the last byte either way
    (`silence_s`), and in all (`total_s`).
    """

    def __init__(self, site: str, limits: SiteLimits, nonce: str) -> None:
        self.site = site
        self._limits = limits
        self._nonce = nonce
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._last_byte = self._began
        self._greeted = False
        self._heard_bytes = 0
        self._text = bytearray()
        self._at_end = False
        self._clock: asyncio.Timeout | None = None
        self._fault: SiteError | None = None

    # --- what an adapter brings -----------------------------------------------------------------

    @abstractmethod
    async def _receive(self) -> bytes:
        """Next piece of the script's output; empty at its end."""

    @abstractmethod
    async def _send(self, data: bytes) -> None:
        """Hand bytes to the connection; wait while it is full. A reader that has gone is not an error."""

    @abstractmethod
    async def _send_file(self, path: Path) -> None:
        """As `_send`, for a whole file; calls `_moved` on the way."""

    @abstractmethod
    async def _end_input(self) -> None:
        """End the script's standard input."""

    @abstractmethod
    async def _exit_code(self) -> int:
        """Wait for the end; raise the right `SiteError` if it was the connection that ended."""

    @abstractmethod
    def _said_aside(self) -> str:
        """What the site said so far besides our script's output: banner and standard error, the end of them."""

    @abstractmethod
    def _abort(self) -> None:
        """Cut the connection now; pending waits come back."""

    # --- the channel ----------------------------------------------------------------------------

    async def greet(self) -> None:
        """Wait for the nonce; what came before it tells why there is none."""
        noise = ""
        try:
            async with asyncio.timeout_at(self._began + self._limits.connect_s):
                while (line := await self._line()) != self._nonce:
                    if line is None:
                        code = await self._ended()
                        raise login_errors.login_ended(self.site, code, f"{self._said_aside()}\n{noise}")
                    noise = f"{noise}\n{line}"[-_NOISE_KEPT:]
        except TimeoutError as error:
            await self._raise_if_sftp()
            self._abort()
            said = f"{self._said_aside()}\n{noise}\n{self._text.decode(errors='replace')}"
            raise login_errors.no_answer(self.site, self._limits.connect_s, said) from error
        self._greeted = True
        self._moved(0)

    async def _raise_if_sftp(self) -> None:
        """An SFTP server waits for its first message; a shell that is late is given up on, so it may get one."""
        try:
            async with asyncio.timeout(_SFTP_ANSWERS_IN_S):
                await self._send(_SFTP_INIT)
                while (piece := await self._receive()) and len(self._text) < _NOISE_KEPT:
                    self._text += piece
                    if _SFTP_VERSION.search(self._text):
                        self._abort()
                        raise login_errors.sftp_only(self.site)
        except TimeoutError:
            return

    async def read_line(self) -> str | None:
        """See `ports.SiteChannel`."""
        line = await self._line()
        if line is None:
            await self._ended()
        return line

    async def write(self, text: str) -> None:
        """See `ports.SiteChannel`."""
        async with self._in_time():
            await self._send(text.encode())

    async def send_file(self, path: Path) -> None:
        """See `ports.SiteChannel`. A script that stops reading is not an error here: it will say why."""
        async with self._in_time():
            visits.sending(True)
            try:
                await self._send_file(path)
            finally:
                visits.sending(False)  # the site may be tried once more in the same visit
            await self._end_input()

    async def finish(self) -> int:
        """See `ports.SiteChannel`."""
        async with self._in_time():
            await self._end_input()
        while await self._line() is not None:
            pass
        return await self._ended()

    async def _ended(self) -> int:
        async with self._in_time():
            return await self._exit_code()

    async def _line(self) -> str | None:
        while True:
            line, newline, rest = self._text.partition(b"\n")
            if newline or (self._at_end and line):
                self._text = rest
                return line.decode(errors="replace").removesuffix("\r")
            if self._at_end:
                return None
            async with self._in_time():
                piece = await self._receive()
                self._at_end = not piece
                self._heard(len(piece))
                self._text += piece

    # --- limits ---------------------------------------------------------------------------------

    def _heard(self, count: int) -> None:
        """Count what the site said, on either of its outputs, and cut it off when it is too much."""
        self._heard_bytes += count
        if self._heard_bytes > self._limits.output_bytes and self._fault is None:
            self._fault = SiteError(
                self.site,
                f"said more than {self._limits.output_bytes} bytes and was cut off.",
                "Look at the account's login at the site.",
            )
            self._text.clear()
            self._abort()
        self._moved(count)

    def _moved(self, count: int) -> None:
        """Bytes went one way or the other: the silence ends."""
        visits.count(count)
        self._last_byte = self._loop.time()
        if self._clock is not None and not self._clock.expired():
            self._clock.reschedule(self._due())

    def _due(self) -> float:
        total = self._began + self._limits.total_s
        if not self._greeted:
            # `greet` is first, and asks who is there
            return min(total, self._began + self._limits.connect_s + 2 * _SFTP_ANSWERS_IN_S)
        return min(total, self._last_byte + self._limits.silence_s)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        if self._fault is not None:
            raise self._fault
        self._last_byte = self._loop.time()
        try:
            async with asyncio.timeout_at(self._due()) as self._clock:
                yield
        except TimeoutError as error:
            self._abort()
            raise self._fault or SiteUnreachableError(self.site, self._late(), _LATER) from error
        except SiteError:
            if self._fault is not None:
                raise self._fault from None
            raise
        finally:
            self._clock = None
        if self._fault is not None:
            raise self._fault

    def _late(self) -> str:
        now = self._loop.time()
        if now >= self._began + self._limits.total_s:
            return f"the conversation took longer than {self._limits.total_s:g} s."
        if not self._greeted:
            return f"no answer within {self._limits.connect_s:g} s."
        return f"nothing moved for {self._limits.silence_s:g} s."
