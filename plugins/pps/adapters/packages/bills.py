"""A bill of materials as CycloneDX 1.6, JSON (ECMA-424)."""

from __future__ import annotations

import json
import uuid

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.impact_analysis import (
    ImpactAnalysisAffectedStatus,
    ImpactAnalysisJustification,
    ImpactAnalysisResponse,
    ImpactAnalysisState,
)
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.model.vulnerability import (
    BomTarget,
    BomTargetVersionRange,
    Vulnerability,
    VulnerabilityAnalysis,
    VulnerabilityRating,
    VulnerabilitySeverity,
)
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import is_expression, is_supported_id
from packageurl import PackageURL

import pps
from pps.domain.packages import advice
from pps.domain.packages.bill import Bill, Carried
from pps.domain.packages.patch import RepositoryKind

_SEVERITIES = {
    advice.Risk.CRITICAL: VulnerabilitySeverity.CRITICAL,
    advice.Risk.HIGH: VulnerabilitySeverity.HIGH,
    advice.Risk.MODERATE: VulnerabilitySeverity.MEDIUM,
    advice.Risk.LOW: VulnerabilitySeverity.LOW,
    None: VulnerabilitySeverity.UNKNOWN,
}
_STATES = {
    advice.Status.NOT_AFFECTED: (ImpactAnalysisState.NOT_AFFECTED, ImpactAnalysisAffectedStatus.UNAFFECTED),
    advice.Status.AFFECTED: (ImpactAnalysisState.EXPLOITABLE, ImpactAnalysisAffectedStatus.AFFECTED),
    advice.Status.UNDER_INVESTIGATION: (ImpactAnalysisState.IN_TRIAGE, ImpactAnalysisAffectedStatus.UNKNOWN),
}
#: CycloneDX has no word for `vulnerable_code_cannot_be_controlled_by_adversary`: it stands in `detail` alone.
_JUSTIFICATIONS = {
    advice.Because.NO_COMPONENT: ImpactAnalysisJustification.CODE_NOT_PRESENT,
    advice.Because.NO_CODE: ImpactAnalysisJustification.CODE_NOT_PRESENT,
    advice.Because.NEVER_RUN: ImpactAnalysisJustification.CODE_NOT_REACHABLE,
    advice.Because.MITIGATED: ImpactAnalysisJustification.PROTECTED_BY_MITIGATING_CONTROL,
}
_TYPES = {RepositoryKind.APT: "deb", RepositoryKind.YUM: "rpm"}
_DECLARED = LicenseAcknowledgement.DECLARED


def as_cyclonedx(bill: Bill) -> str:
    """The same bill is the same text."""
    release = Component(
        type=ComponentType.APPLICATION,
        name=bill.product,
        version=bill.version,
        bom_ref=f"{bill.product}@{bill.version}",
    )
    parts = [_part(carried, bill.kind) for carried in bill.packages]
    bom = Bom(
        components=parts,
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, repr(bill)),
        vulnerabilities=[_fixed(it, bill, release) for it in bill.fixes]
        + [_said(it, bill, release) for it in bill.impacts],
    )
    bom.metadata.timestamp = bill.at
    bom.metadata.component = release
    ours = Component(type=ComponentType.APPLICATION, name="PPS Rollout", version=pps.__version__)
    bom.metadata.tools = ToolRepository(components=[ours])
    bom.register_dependency(release, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # one that is named there with none needs nothing; what packages need is in their repository's index
    document["dependencies"] = [it for it in document["dependencies"] if it.get("dependsOn")]
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n"


def _part(carried: Carried, kind: RepositoryKind) -> Component:
    ref, says = carried.ref, carried.says
    epoch, _, version = ref.version.rpartition(":")
    more = {"arch": ref.arch}
    if kind is RepositoryKind.YUM and epoch:  # Debian's stays in the version
        more["epoch"] = epoch
    # no namespace: it would say that a distribution has made the package
    purl = PackageURL(_TYPES[kind], None, ref.name, version if kind is RepositoryKind.YUM else ref.version, more)
    return Component(
        type=ComponentType.LIBRARY,
        name=ref.name,
        version=ref.version,
        bom_ref=f"sha256:{carried.sha256}",
        supplier=OrganizationalEntity(name=says.supplier) if says.supplier else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=carried.sha256)],
        licenses=_licences(says.licences),
        purl=purl,
    )


def _licences(said: tuple[str, ...]) -> list[DisjunctiveLicense | LicenseExpression]:
    """SPDX where it is, else in the package's own words."""
    if len(said) == 1 and not is_supported_id(said[0]) and is_expression(said[0]):
        return [LicenseExpression(said[0], acknowledgement=_DECLARED)]  # which may only stand alone
    return [
        DisjunctiveLicense(id=text, acknowledgement=_DECLARED)
        if is_supported_id(text)
        else DisjunctiveLicense(name=text, acknowledgement=_DECLARED)
        for text in said
    ]


def _fixed(it: advice.Vulnerability, bill: Bill, release: Component) -> Vulnerability:
    unaffected = BomTargetVersionRange(version=bill.version, status=ImpactAnalysisAffectedStatus.UNAFFECTED)
    return Vulnerability(
        bom_ref=it.cve,
        id=it.cve,
        ratings=[VulnerabilityRating(severity=_SEVERITIES[it.risk])],
        analysis=VulnerabilityAnalysis(
            state=ImpactAnalysisState.RESOLVED,
            responses=[ImpactAnalysisResponse.UPDATE],
            detail=f"The tracker says that patch {bill.patch} fixes it.",
        ),
        affects=[BomTarget(ref=str(release.bom_ref), versions=[unaffected])],
    )


def _said(it: advice.Impact, bill: Bill, release: Component) -> Vulnerability:
    state, affected = _STATES[it.status]
    return Vulnerability(
        bom_ref=it.cve,
        id=it.cve,
        analysis=VulnerabilityAnalysis(
            state=state,
            justification=_JUSTIFICATIONS.get(it.because) if it.because else None,
            detail=f"The provider says of patch {bill.patch}: {it.in_words}.",
        ),
        affects=[
            BomTarget(ref=str(release.bom_ref), versions=[BomTargetVersionRange(version=bill.version, status=affected)])
        ],
    )
