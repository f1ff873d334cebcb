"""Distribution of a client tarball to the sites (SD 4.1.1, step 2), and a look at what they hold."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pps.activities.clients.putting_off import put_off
from pps.activities.clients.withdrawal import take_back
from pps.activities.desk import Desk
from pps.activities.packages.payloads import is_sound, links_into, prepare_payload
from pps.activities.packages.tarball import checked, manifest_of, tarballs_on_record
from pps.activities.ports.packages import Artefacts, Tarball
from pps.activities.ports.record import Facts
from pps.activities.sites.batch import Door, in_turns
from pps.activities.sites.receiver import Holding, How, Receipt, Receiver, RefusedBySiteError
from pps.domain.base.errors import (
    ConfigurationError,
    NotYetAllowedError,
    SiteBusyError,
    SiteError,
    SiteUnreachableError,
    TamperedError,
)
from pps.domain.clients.batches import KEEPS_US_WAITING
from pps.domain.packages.manifest import Manifest
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import Site

log = logging.getLogger(__name__)

STEP = "distribute"
_PAUSE_S = 2.0
_HAS_IT = (SiteState.INSTALLED, SiteState.TESTED, SiteState.TAGGED, SiteState.AVAILABLE)


@dataclass(frozen=True, slots=True)
class SiteOutcome:
    """How the distribution ended at one site."""

    site: str
    receipt: Receipt | None
    error: SiteError | None
    seconds: float
    put_off: str = ""
    """why nothing was written there at this moment; no failure"""
    is_left: bool = False
    """it kept the others waiting, so this ended without it; no failure"""

    @property
    def word(self) -> str:
        """How it ended, to be counted."""
        if self.is_left:
            return "not yet"
        return "put off" if self.put_off else "failed" if self.receipt is None else self.receipt.how.value

    @property
    def text(self) -> str:
        """One line for a person."""
        if self.is_left:
            return f"{self.site}: not yet: {KEEPS_US_WAITING}"
        if self.put_off:
            return f"{self.site}: put off: {self.put_off}"
        if self.receipt is None:
            return f"{self.site}: failed: {self.error.why if self.error else ''}"
        return f"{self.site}: {self.receipt.how}, {self.receipt.bytes_sent} bytes in {self.seconds:.1f} s"


class Payloads:
    """What the sites of one distribution are sent: each payload is built when the first site needs it.

    Other tarballs, which sites hold and new ones may build upon, are taken as they are on record, too.
    """

    def __init__(
        self, tarball: Tarball, facts: Facts, artefacts: Artefacts, cache: Path, alarm: Callable[[TamperedError], None]
    ) -> None:
        self._tarball = tarball
        self._facts = facts
        self._artefacts = artefacts
        self._cache = cache
        self._alarm = alarm
        self._lock = asyncio.Lock()
        self._manifests: dict[str, Manifest | None] = {}
        self._linked: dict[str, int] = {}
        self._ready: dict[str | None, Path] = {}

    async def full(self, held: Mapping[str, str]) -> tuple[Path, str | None]:
        """Everything, whatever the site holds."""
        async with self._lock:
            return await asyncio.to_thread(self._prepare, None)

    async def smallest(self, held: Mapping[str, str]) -> tuple[Path, str | None]:
        """What the site lacks beyond the one preview, of those that it holds, that saves the most bytes."""
        async with self._lock:
            return await asyncio.to_thread(self._prepare_smallest, held)

    async def was_changed(self, base: str | None) -> bool:
        """Tell whether what was sent is no longer what was built; if so, it will be built again."""
        async with self._lock:
            return await asyncio.to_thread(self._forget_if_changed, base)

    def _forget_if_changed(self, base: str | None) -> bool:
        manifest, below = self._known(self._tarball.name), self._known(base) if base else None
        path = self._ready.get(base)
        if path is None or manifest is None:
            return False
        if is_sound(path, manifest, links_into(manifest, below) if below else {}):
            return False
        del self._ready[base]
        return True

    def _prepare_smallest(self, held: Mapping[str, str]) -> tuple[Path, str | None]:
        manifest = self._known(self._tarball.name)
        for name in held:
            base = self._known(name)
            if name not in self._linked and base is not None and manifest is not None:
                self._linked[name] = sum(manifest.files[path].size for path in links_into(manifest, base))
        usable = [n for n, digest in held.items() if (m := self._manifests[n]) is not None and m.digest == digest]
        best = max(usable, key=lambda n: (self._linked[n], n), default=None)
        return self._prepare(best if best is not None and self._linked[best] else None)

    def _prepare(self, base: str | None) -> tuple[Path, str | None]:
        if base not in self._ready:
            if (manifest := self._known(self._tarball.name)) is None:
                why = "is not in the artefact store."
                raise NotYetAllowedError(self._tarball.name, why, "Clear the task build_tarball.")
            below = self._known(base) if base is not None else None
            self._ready[base] = prepare_payload(self._tarball, manifest, below, self._artefacts, self._cache)
        return self._ready[base], base

    def _known(self, name: str) -> Manifest | None:
        """The MANIFEST of a tarball on record; None for a name that only the site knows, or that cannot be used."""
        if name == self._tarball.name and name not in self._manifests:
            self._manifests[name] = manifest_of(self._tarball, self._artefacts)
        elif name not in self._manifests:
            self._manifests[name] = self._known_base(name)
        return self._manifests[name]

    def _known_base(self, name: str) -> Manifest | None:
        recorded = tarballs_on_record(self._facts, name)
        if len({t.digest for t in recorded}) != 1:
            return None
        try:
            return manifest_of(checked(recorded[-1], self._artefacts), self._artefacts)
        except NotYetAllowedError:
            return None  # the store has it no longer
        except TamperedError as error:
            # nothing is built upon it; the site gets everything
            self._alarm(error)
            return None


async def distribute(
    desk: Desk,
    tarball: Tarball,
    sites: Sequence[Site],
    door: Door,
    *,
    artefacts: Artefacts,
    cache: Path,
    progress: Callable[[SiteOutcome], None] = lambda outcome: None,
    alarm: Callable[[TamperedError], None] = lambda error: log.error("%s", error),
) -> tuple[SiteOutcome, ...]:
    """Bring a tarball to sites, some at a time; each site's outcome is recorded as soon as it is known.

    PREVIEW_INSTALLED has the payload `tarball`, `production_before` (perhaps `production_note`), `how` (full, delta,
    already), `bytes`, `seconds`, `replaced`; SITE_FAILED has `reason`, `error`, `step`. A site that has the tarball,
    in the facts and on its disk, costs one look and makes no fact. One whose own wishes stand against it now is not
    asked at all (`put_off`). Where `door.places` says how long others wait, one that keeps them waiting is left, which
    is SITE_KEEPS_WAITING unless it has the preview on record. Safe to repeat and to run twice at once: the site's lock
    and the facts decide.

    Args:
        tarball: as it is on record (`tarball_of`).
        cache: folder for payloads; may be lost at any time.
        alarm: hears of an older tarball in the store that is not what is on record; sites do without it.

    Raises:
        TamperedError: the tarball in the store is not what is on record; no site's fault, so none is marked.
        PackageError: it is broken in another way; the same holds.
        ServiceError: the store of facts does not answer.
        NotYetAllowedError: the preview was withdrawn. If that was asked while this was at work, further sites are
            left alone, and those that were served meanwhile have been cleared again, or will be by the withdrawal.
    """
    record = desk.rollout
    record.must_not_be_withdrawn()
    payloads = Payloads(tarball, desk.facts, artefacts, cache, alarm)

    async def one(site: Site) -> SiteOutcome:
        began = time.monotonic()
        receipt, error = None, None
        if desk.facts.has(record.name, FactKind.WITHDRAWAL_ASKED):
            return SiteOutcome(site.name, None, SiteError(site.name, "The preview was withdrawn meanwhile."), 0.0)
        if why := put_off(desk, site):
            progress(outcome := SiteOutcome(site.name, None, None, 0.0, why))
            return outcome
        try:
            there = Receiver(door.shell, door.target(site), site, door.limits)
            thoroughly = record.progress(site.name).state not in _HAS_IT
            receipt = await _deliver(there, tarball, payloads, thoroughly)
        except SiteError as failure:
            error = failure
        except ConfigurationError as failure:
            error = SiteError(site.name, str(failure))
        outcome = SiteOutcome(site.name, receipt, error, time.monotonic() - began)
        said = _kind_and_payload(record, tarball, outcome)
        if error and desk.facts.has(record.name, FactKind.WITHDRAWAL_ASKED):
            said = None  # what did not arrive is not missed any more
        if said is not None:
            kind, payload = said
            which = record.occasion(kind, site.name, f"{door.occasion}/{STEP}" if error else door.occasion)
            desk.record(desk.by(door.actor, desk.clock()).fact(kind, site.name, which, payload))
        progress(outcome)
        return outcome

    def left(site: Site) -> SiteOutcome:
        if not record.holds_preview(site.name) and not desk.facts.has(record.name, FactKind.WITHDRAWAL_ASKED):
            kind = FactKind.SITE_KEEPS_WAITING
            which = record.occasion(kind, site.name, door.occasion)
            desk.record(desk.by(door.actor, desk.clock()).fact(kind, site.name, which, {"reason": KEEPS_US_WAITING}))
        progress(outcome := SiteOutcome(site.name, None, None, 0.0, is_left=True))
        return outcome

    outcomes = await in_turns(one, sites, door.places, left)
    if desk.facts.has(record.name, FactKind.WITHDRAWAL_ASKED):
        desk.look_again()  # somebody else has asked for it
        await take_back(desk.later(), sites, door)
        desk.look_again().must_not_be_withdrawn()
    return outcomes


async def look(tarball: Tarball, sites: Sequence[Site], door: Door) -> Mapping[str, tuple[Holding, str]]:
    """What each site really holds of a tarball, every file checked, and what is wrong; changes and records nothing."""

    async def one(site: Site) -> tuple[str, tuple[Holding, str]]:
        try:
            return site.name, await Receiver(door.shell, door.target(site), site, door.limits).look_at(tarball)
        except SiteError as error:
            return site.name, (Holding.UNREACHABLE, str(error))

    return dict(await in_turns(one, sites, door.places))


async def _deliver(there: Receiver, tarball: Tarball, payloads: Payloads, thoroughly: bool) -> Receipt:
    """Install at one site, and try once more after a fault that may be gone in a moment."""
    began = time.monotonic()
    try:
        return await _deliver_once(there, tarball, payloads, thoroughly)
    except (SiteUnreachableError, SiteBusyError):
        # A site that kept us waiting has had its time (and its neighbours' place).
        if time.monotonic() - began > there.limits.connect_s / 2:
            raise
    await asyncio.sleep(_PAUSE_S)
    return await _deliver_once(there, tarball, payloads, thoroughly)


async def _deliver_once(there: Receiver, tarball: Tarball, payloads: Payloads, thoroughly: bool) -> Receipt:
    chosen: list[str] = []

    async def choose(held: Mapping[str, str]) -> tuple[Path, str | None]:
        path, base = await payloads.smallest(held)
        chosen.extend([base] if base else [])
        return path, base

    try:
        return await there.install(tarball, choose, thoroughly=thoroughly)
    except RefusedBySiteError as error:
        # The base at the site may be damaged, or on a disk that cannot link: then everything is sent, once.
        if error.word not in ("unpack", "damaged", "io"):
            raise
        if not await payloads.was_changed(chosen[0] if chosen else None) and not chosen:
            raise
        log.warning("%s: refused (%s); sending everything", there.site.name, error.why)
    return await there.install(tarball, payloads.full, thoroughly=thoroughly)


def _kind_and_payload(
    record: Rollout, tarball: Tarball, outcome: SiteOutcome
) -> tuple[FactKind, dict[str, Any]] | None:
    """What there is to record of an outcome; None when it is on record that the site has the tarball."""
    if outcome.error is not None:
        return FactKind.SITE_FAILED, {"reason": str(outcome.error), "error": _public_name(outcome.error), "step": STEP}
    receipt = outcome.receipt
    if receipt is None or (receipt.how is How.ALREADY and _is_on_record(record, outcome.site, tarball)):
        return None
    return FactKind.PREVIEW_INSTALLED, {
        "tarball": tarball.name,
        "production_before": receipt.production_before,
        "how": receipt.how.value,
        "bytes": receipt.bytes_sent,
        "seconds": round(outcome.seconds, 2),
        "replaced": receipt.replaced,
        **({"production_note": receipt.note} if receipt.note else {}),
    }


def _public_name(error: SiteError) -> str:
    """The class as domain/errors.py has it: that `receiver` has one of its own is a detail."""
    return "SiteRefusedError" if isinstance(error, RefusedBySiteError) else type(error).__name__


def _is_on_record(record: Rollout, site: str, tarball: Tarball) -> bool:
    """Whether it is no news that the site has the tarball.

    It is news if a distribution has failed since, or if the site was left out meanwhile. It is not if the site's probes
    have failed: the preview was there then, and is there now.
    """
    installed, newest = record.installation(site), record.progress(site).fact
    failed_here = newest is not None and (newest.payload.get("step") == STEP or newest.kind is FactKind.SITE_LEFT_OUT)
    return installed is not None and installed.payload.get("tarball") == tarball.name and not failed_here
