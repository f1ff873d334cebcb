"""The automatic runner of deployment scenarios: really installs an update in a clean root (SD 4.2.2).

What it finds is about the update (pass, fail) or about this machine (inconclusive); it never guesses.
"""

from __future__ import annotations

import base64
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from pps.activities.ports.clean_roots import CleanRoot, CleanRoots, CommandResult
from pps.activities.ports.packages import PackageRepositories
from pps.activities.sites.script import load_script
from pps.domain.base.errors import CleanRootError, ConfigurationError, PackageError, RolloutError, ServiceError
from pps.domain.base.texts import clean_text, one_line
from pps.domain.packages.patch import PackageRef, Patch, RepositoryKind
from pps.domain.quality.scenarios import ScenarioResult
from pps.domain.sites.site import Platform

LOG_CHARACTERS = 200_000
"""of one log: its beginning and its end"""

_APT = "apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 -o APT::Color=0"
_LIST = "/etc/apt/sources.list.d/pps-provider.list"
_ONLY_MIRROR = "-o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0"
_ONLY_PROVIDER = f"-o Dir::Etc::sourcelist={_LIST} {_ONLY_MIRROR}"
_STRICT = "-o APT::Update::Error-Mode=any"
_FENCE = re.compile(r" {0,3}```+ *([\w+-]*) *")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class StepDone:
    """One step of a scenario."""

    step: str
    ok: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """How a scenario went."""

    result: ScenarioResult
    reason: str
    """one sentence or two; "" for a pass"""
    steps: tuple[StepDone, ...]
    log: str


class _EndedError(Exception):
    """A step that ends the scenario."""

    def __init__(self, result: ScenarioResult, reason: str) -> None:
        super().__init__(reason)
        self.result, self.reason = result, reason


def configuration_steps(special_configuration: str) -> tuple[str, ...]:
    """The steps of the release notes that a machine can follow: their ```sh blocks, in order. Prose is for people.

    Raises:
        PackageError: a block has no end, so nobody knows what belongs to it.
    """
    blocks: list[str] = []
    block: list[str] | None = None
    is_step = False
    for line in clean_text(special_configuration).split("\n"):
        fence = _FENCE.fullmatch(line)
        if block is None and fence:
            block, is_step = [], fence[1] == "sh"
        elif block is not None and fence and not fence[1]:
            if is_step:
                blocks.append("\n".join(block) + "\n")
            block = None
        elif block is not None:
            block.append(line)
    if block is not None:
        raise PackageError("release notes", "a block of their configuration that begins with ``` has no end.")
    return tuple(blocks)


def try_update(
    patch: Patch,
    platform: Platform,
    clean_roots: CleanRoots,
    repositories: PackageRepositories,
    *,
    keyring: Path | None = None,
    step_within: timedelta = timedelta(minutes=30),
) -> Report:
    """Install the patch in a clean root of this platform, follow its release notes, probe it.

    Args:
        keyring: the keys with which the provider's repository must be signed; None: somebody has decided that it need
            not be.
        step_within: the longest time for one step.
    """
    run = _Run(patch, platform, keyring, step_within.total_seconds())
    try:
        run.look_up(repositories)
        with run.root(clean_roots) as root:
            run.install(root)
            run.configure(root)
            run.probe(root)
    except _EndedError as ended:
        return run.report(ended.result, ended.reason)
    prose_only = patch.special_configuration.strip() and not configuration_steps(patch.special_configuration)
    if prose_only:
        # installed and sound, but nobody has followed the part of the notes that this test is for
        why = "The update installs, but its configuration is described in prose only (no ```sh block to follow)."
        return run.report(ScenarioResult.INCONCLUSIVE, f"{why} Give the scenario to a PPS member site.")
    return run.report(ScenarioResult.PASS, "")


@dataclass
class _Run:
    """One scenario under way."""

    patch: Patch
    platform: Platform
    keyring: Path | None
    step_s: float
    steps: list[StepDone] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @property
    def refs(self) -> tuple[PackageRef, ...]:
        """The patch's packages for this platform; it may name those of other architectures, too."""
        all_refs = (*self.patch.packages, *self.patch.externals)
        return tuple(dict.fromkeys(r for r in all_refs if r.arch in (self.platform.arch, "all")))

    def report(self, result: ScenarioResult, reason: str) -> Report:
        text = readable_log("\n".join([*self.log, f"== {result.upper()} {reason}".rstrip(), ""]))
        return Report(result, one_line(_SECRET.sub("***@", reason), 600), tuple(self.steps), text)

    # --- the steps

    def look_up(self, repositories: PackageRepositories) -> None:
        """Are the packages where the patch says, as their index says?"""
        with self._step("look packages up"):
            if self.patch.repository.kind is not RepositoryKind.APT:
                kind = self.patch.repository.kind
                raise _inconclusive(f"The automatic runner installs from APT repositories only, not from {kind}.")
            if not self.refs:
                raise _failed(f"The patch names no package for {self.platform.arch}.")
            try:
                for found in repositories.open(self.patch.repository).resolve(self.refs):
                    self.log.append(f"{found.ref} sha256 {found.sha256}")
            except (ServiceError, ConfigurationError) as error:
                raise _inconclusive(str(error)) from error
            except RolloutError as error:
                raise _failed(str(error)) from error

    @contextmanager
    def root(self, clean_roots: CleanRoots) -> Iterator[CleanRoot]:
        """A clean root; whatever is wrong with it is wrong with this machine."""
        try:
            began = time.monotonic()
            with clean_roots.open(self.platform) as root:
                self._done("make a clean root", True, time.monotonic() - began)
                yield root
        except CleanRootError as error:
            raise _inconclusive(str(error)) from error

    def install(self, root: CleanRoot) -> None:
        """Debian's lists, the provider's repository, then exactly the patch's packages."""
        packages = " ".join(shlex.quote(_asked(ref)) for ref in self.refs)
        done = self._run(root, "read the mirror", f"{_APT} {_ONLY_MIRROR} {_STRICT} update")
        self._need(done, _inconclusive, "The Debian mirror cannot be read")
        done = self._run(root, "add the repository", f"{self._add()}\n{_APT} {_ONLY_PROVIDER} {_STRICT} update")
        self._need(done, _failed, "APT refuses the provider's repository")
        done = self._run(root, "resolve dependencies", f"{_APT} --simulate install {packages}")
        self._need(done, _failed, "The packages cannot be installed together on a clean system")
        done = self._run(root, "download", f"{_APT} --download-only install {packages}")
        ours = f"Failed to fetch {self.patch.repository.url}" in done.output
        self._need(done, _failed if ours else _inconclusive, "A package cannot be downloaded")
        done = self._run(root, "install", f"{_APT} --no-download install {packages}")
        full = "No space left on device" in done.output
        self._need(done, _inconclusive if full else _failed, "The installation fails")

    def configure(self, root: CleanRoot) -> None:
        """The configuration steps of the release notes, each in a shell of its own, in their order."""
        try:
            blocks = configuration_steps(self.patch.special_configuration)
        except PackageError as error:
            raise _failed(str(error)) from error
        for number, block in enumerate(blocks, 1):
            self.log.append("".join(f"+ {line}\n" for line in block.splitlines()).rstrip())
            done = self._run(root, f"configuration step {number}", f"set -e\n{block}")
            self._need(done, _failed, f"Configuration step {number} of the release notes fails")

    def probe(self, root: CleanRoot) -> None:
        """What can be judged without a grid: versions, dpkg's own audit, and what the programs need to start."""
        names = " ".join(shlex.quote(r.name if r.arch == "all" else f"{r.name}:{r.arch}") for r in self.refs)
        wanted = " ".join(shlex.quote(f"{r.name}|{r.arch}|{r.version}") for r in self.refs)
        probes = (
            ("probe versions", f"set -- {wanted}\n{load_script('scenario_versions.sh')}", "Not every package is there"),
            ("probe dpkg", 'bad=$(dpkg --audit) || exit 1\nprintf \'%s\' "$bad"\n[ -z "$bad" ]', "dpkg complains"),
            ("probe programs", f"set -- {names}\n{load_script('scenario_programs.sh')}", "A program cannot start"),
        )
        for step, script, why in probes:
            self._need(self._run(root, step, script), _failed, why)

    # --- how

    def _add(self) -> str:
        repository = self.patch.repository
        # no keyring: somebody has said in `package_keys`, with a reason, that this provider signs nothing. An address
        # about which nobody has said anything does not get this far (`Services.trust_in`). In this root alone.
        trust, script = "trusted=yes", "set -e\n"
        if self.keyring is not None:
            try:
                key = self.keyring.read_bytes()
            except OSError as error:
                raise _inconclusive(f"The keyring {self.keyring} cannot be read ({error.strerror}).") from error
            place = f"/usr/share/keyrings/pps-provider.{'asc' if key.startswith(b'-----BEGIN') else 'gpg'}"
            trust = f"signed-by={place}"
            script += f"base64 -d >{place} <<'KEY'\n{base64.encodebytes(key).decode()}KEY\n"
        parts = (repository.url.rstrip("/"), repository.suite, *repository.components)
        if any(re.search(r"[\s\[\]]", part) for part in parts):
            raise _failed(f"The repository's address {one_line(' '.join(parts))!r} is not one that APT can use.")
        return f"{script}printf '%s\\n' {shlex.quote(f'deb [{trust}] ' + ' '.join(parts))} >{_LIST}"

    def _run(self, root: CleanRoot, step: str, script: str) -> CommandResult:
        done = root.run(script, self.step_s)
        self.log.append(done.output.rstrip())
        self._done(step, done.exit_code == 0 and not done.timed_out, done.seconds)
        return done

    def _need(self, done: CommandResult, ends: Callable[[str], _EndedError], why: str) -> None:
        if done.timed_out:
            raise ends(f"{why}: it did not end within {self.step_s:.0f} s.")
        if done.exit_code != 0:
            raise ends(f"{why} (exit code {done.exit_code}): {telling_line(done.output)}")

    def _done(self, step: str, ok: bool, seconds: float) -> None:
        self.steps.append(StepDone(step, ok, round(seconds, 2)))
        self.log.append(f"== {step}: {'ok' if ok else 'FAILED'}, {seconds:.1f} s\n")

    @contextmanager
    def _step(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except _EndedError as ended:
            self.log.append(ended.reason)
            self._done(step, False, time.monotonic() - began)
            raise
        self._done(step, True, time.monotonic() - began)


def _failed(reason: str) -> _EndedError:
    return _EndedError(ScenarioResult.FAIL, reason)


def _inconclusive(reason: str) -> _EndedError:
    return _EndedError(ScenarioResult.INCONCLUSIVE, reason)


def _asked(ref: PackageRef) -> str:
    return f"{ref.name}={ref.version}" if ref.arch == "all" else f"{ref.name}:{ref.arch}={ref.version}"


def telling_line(output: str) -> str:
    """The line of a program's output that most likely says why it failed."""
    lines = [line.strip() for line in _ANSI.sub("", output).splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(E|dpkg|CRITICAL|error)\b.*:", line, re.IGNORECASE)]
    # dpkg's last word names the script, APT's only that dpkg said so
    telling = [line for line in errors if "Sub-process /usr/bin/dpkg" not in line and "while processing" not in line]
    line = (telling or errors or lines or ["it said nothing."])[-1]
    if line.endswith(":") and line in lines[:-1]:
        line = f"{line} {lines[lines.index(line) + 1]}"
    return one_line(line, 300)


def readable_log(text: str) -> str:
    """A log fit to be published: no control characters, no logins in addresses, not longer than we keep."""
    text = _SECRET.sub("***@", clean_text(_ANSI.sub("", text)))
    if len(text) <= LOG_CHARACTERS:
        return text
    half = LOG_CHARACTERS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
