"""What stands beside the notes of a release, for whoever checks it: what it carries, and how PPS has verified it.

All is made from the record and the very bytes that are published, before the release goes on record; made again, it
says the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from pps.activities.desk import Desk
from pps.activities.packages.production import BILL, LICENCES, NOTES, VERIFICATION, Production
from pps.domain.packages.bill import Bill, Carried, by_licence
from pps.domain.packages.patch import RepositoryKind
from pps.domain.packages.verified_index import VerifiedIndex
from pps.domain.people.embargo import advice_in
from pps.domain.record.facts import Fact, FactKind


def write_beside(
    desk: Desk, production: Production, kind: RepositoryKind, carried: Sequence[Carried]
) -> dict[str, dict[str, str]]:
    """Write all; returns `file` and `sha256` of each, as they go on record with the release.

    Where the record does not name the index by which the packages were believed (it is older than that), nobody can
    say how they were verified, and `verification` is not among them.
    """
    record, opened = desk.rollout, desk.rollout.opened
    tried = record.the(FactKind.TARBALL_BUILT) or record.need(FactKind.PACKAGES_KEPT, "Keep the packages first.")
    advice = advice_in(desk.facts.dossier(record.patch_number).facts)
    what = (desk.name, record.patch_number, opened["metapackage"], opened["version"])
    bill = production.beside.write_bill(
        Bill(*what, kind, tried.at, tuple(carried), advice.vulnerabilities, advice.impacts)
    )
    licences = production.templates.render("licences.txt", {"opened": opened, "licences": by_licence(carried)})
    written = {
        "bill": _published(desk, production, BILL, bill, bill),
        "licences": _published(desk, production, LICENCES, licences, licences),
    }
    if "index" in tried.payload:
        view = {**_verification(desk, production, tried, carried), "bill": written["bill"]}
        text = production.templates.render("verification.txt", view)
        # no two signatures are the same, so what is on record is what they sign
        written["verification"] = _published(desk, production, VERIFICATION, production.beside.sign(text), text)
    return written


def _published(desk: Desk, production: Production, ending: str, text: str, lasting: str) -> dict[str, str]:
    file = f"{NOTES}/{desk.name}.{ending}"
    production.beside.folder.publish(file, text)
    return {"file": file, "sha256": hashlib.sha256(lasting.encode()).hexdigest()}


def _verification(desk: Desk, production: Production, tried: Fact, carried: Sequence[Carried]) -> Mapping[str, Any]:
    """The view of the template `verification.txt`."""
    record = desk.rollout
    mirror, unsigned = record.the(FactKind.MIRROR_MADE), record.the(FactKind.INDEX_UNSIGNED)
    source = mirror.payload.get("index") if mirror else None
    index = VerifiedIndex.of(tried.payload["index"])
    provider_s = VerifiedIndex.of(source) if source else index
    policy = production.beside.policy(provider_s.address)
    return {
        "rollout": desk.name,
        "opened": record.opened,
        "packages": carried,
        "index": index,
        "mirrored": {"index": provider_s, "at": mirror.at} if mirror and source else None,
        "unsigned": unsigned.payload["reason"] if unsigned else "",
        "tarball": tried.payload if tried.kind is FactKind.TARBALL_BUILT else None,
        "policy": {"lines": policy, "sha256": hashlib.sha256("".join(f"{it}\n" for it in policy).encode()).hexdigest()},
        "at": tried.at,
    }
