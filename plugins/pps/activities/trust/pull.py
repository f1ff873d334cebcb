"""What sites with a kit fetch by themselves: what is pushed to others, laid out in a folder for any web server.

```text
1/<scheme>/<product>@<platform>         keys, what is current, and the statement in force, as one envelope
1/<scheme>/current                      the same without a statement
1/payloads/<digest of MANIFEST>/list    lines `full <bytes> <sha256>`, `from <digest of MANIFEST> <bytes> <sha256>`
1/payloads/<digest of MANIFEST>/full    and `from-<digest>`: what a push sends
```

Whoever serves, mirrors or caches it is trusted with nothing: sites verify (scripts/kit/fetch.sh). Payloads come before
papers, so whoever reads in between finds what he is told of. What a push would not bring is not offered either.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pps.activities.packages.payloads import prepare_payload
from pps.activities.packages.tarball import checked, manifest_of, tarballs_on_record
from pps.activities.ports.packages import Artefacts, Tarball
from pps.activities.ports.publication import PublicationFolder
from pps.activities.ports.record import Facts
from pps.activities.trust.papers import PapersOnRecord
from pps.activities.trust.statements import all_offered
from pps.domain.base.errors import NotYetAllowedError, PackageError, TamperedError
from pps.domain.clients.control import pause_of
from pps.domain.packages.manifest import Manifest
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.record.statements import Offered
from pps.domain.sites.site import Scheme
from pps.domain.trust.keys import issued_in
from pps.domain.trust.signed import opened
from pps.domain.trust.statement import Action

log = logging.getLogger(__name__)

PLACE = "1"
#: A payload upon each of so many earlier previews; a site that slept longer fetches everything.
_BASES = 3


def may_be_fetched(record: Rollout) -> bool:
    """Tell whether a preview is offered to sites that fetch: where a push would bring it to all of them.

    That is from the gate behind the canaries on (SD 4.1.1), unless it is paused or over. A client that is not backward
    compatible waits for each site's local configuration (SD 4.1.2, 3), which nothing that is fetched could know of.
    """
    going = record.has(FactKind.GATE_PASSED) or record.is_open_preview
    return record.path is RolloutPath.BC_CLIENT and going and not record.is_over and pause_of(record) is None


def laid_out_at(folder: PublicationFolder, scheme: Scheme) -> datetime | None:
    """When what sites of a scheme fetch was renewed last; None if it never was, or is no longer readable."""
    text = folder.read(f"{PLACE}/{scheme}/current")
    try:
        *_, last = opened((text or b"").decode("ascii"))
        return issued_in(last.document)
    except (ValueError, PackageError):
        return None


@dataclass(frozen=True)
class Shelf:
    """Where it is laid out, and what from."""

    folder: PublicationFolder
    facts: Facts
    """as strangers may read them: what is under embargo is fetched by nobody"""
    artefacts: Artefacts
    cache: Path
    alarm: Callable[[str, TamperedError], None]
    """hears of a rollout whose tarball in the store is not what is on record; nothing of it is offered"""

    def lay_out(self, papers: Mapping[Scheme, PapersOnRecord]) -> tuple[str, ...]:
        """Write what is in force now, and renew what says so; returns the products that have a statement to follow.

        Safe to repeat: payloads that are there and whole are left, papers are written with a fresh list.

        Raises:
            ServiceError: the folder does not work.
        """
        offered = set[str]()
        for scheme, signed in papers.items():
            for what, it in signed.in_force.items():
                follow = it.statement.action is Action.REMOVE or self._payloads(what, it)
                text = signed.envelope_of(what) if follow else signed.envelope_of(None)
                self.folder.publish(f"{PLACE}/{scheme}/{what}", text)
                offered |= {what} if follow else set()
            self.folder.publish(f"{PLACE}/{scheme}/current", signed.envelope_of(None))
        return tuple(sorted(offered))

    def _payloads(self, what: str, it: Offered) -> bool:
        """Write all that sites may need to follow a statement; False where nobody is to be served."""
        if not may_be_fetched(self.facts.rollout(it.rollout)):
            return False
        try:
            found = self._known(it.statement.preview, it.statement.manifest)
            if found is None:
                log.error("%s is not in the artefact store: no site can fetch it", it.statement.preview)
                return False
            place = f"{PLACE}/payloads/{it.statement.manifest}"
            lines = [f"full {self._payload(f'{place}/full', *found, None)}\n"]
            for digest, base in self._bases(what, it):
                what_it_is = self._payload(f"{place}/from-{digest}", *found, base)
                lines.append(f"from {digest} {what_it_is}\n")
            self.folder.publish(f"{place}/list", "".join(lines))
        except TamperedError as error:
            self.alarm(it.rollout, error)
            return False
        return True

    def _payload(self, name: str, tarball: Tarball, manifest: Manifest, base: Manifest | None) -> str:
        """Write one; its bytes and digest, as lists have them."""
        path = prepare_payload(tarball, manifest, base, self.artefacts, self.cache)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.folder.publish_file(name, path, digest)
        return f"{path.stat().st_size} {digest}"

    def _bases(self, what: str, it: Offered) -> Iterable[tuple[str, Manifest]]:
        """The newest previews before it that sites may hold, digest and MANIFEST."""
        before: Sequence[Offered] = [o for o in all_offered(self.facts, what) if o.signatures]
        earlier = dict.fromkeys(
            (o.statement.preview, o.statement.manifest)
            for o in reversed(before)
            if o.statement.sequence < it.statement.sequence and o.statement.manifest != it.statement.manifest
        )
        for preview, digest in list(earlier)[:_BASES]:
            try:
                found = self._known(preview, digest)
            except (TamperedError, PackageError) as error:
                log.warning("nothing is built upon %s: %s", preview, error)
                continue
            if found is not None:
                yield digest, found[1]

    def _known(self, preview: str, digest: str) -> tuple[Tarball, Manifest] | None:
        """What the store has of a signed preview; None if it has it no longer."""
        recorded = [t for t in tarballs_on_record(self.facts, preview) if t.digest == digest]
        if not recorded:
            return None
        try:
            tarball = checked(recorded[-1], self.artefacts)
            return tarball, manifest_of(tarball, self.artefacts)
        except NotYetAllowedError:
            return None
