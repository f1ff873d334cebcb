"""The shape of a patch as a document: what a tracker says of it, YAML or JSON of `pps sandbox submit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)

from pps.domain.base.errors import PackageError, RolloutError
from pps.domain.base.names import checked_address, checked_name, checked_package_name, checked_version
from pps.domain.packages.advice import Impact, Vulnerability
from pps.domain.packages.patch import (
    Bug,
    Case,
    PackageRef,
    Patch,
    PatchKind,
    PatchState,
    Repository,
    RepositoryKind,
    Severity,
)
from pps.domain.sites.site import Platform


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds control or invisible characters; it must be one line of text")
    return text


_LAYOUT = dict.fromkeys(map(ord, "\n\t\r"))


def _some_lines(text: str) -> str:
    if not text.translate(_LAYOUT).isprintable():
        raise ValueError("holds control or invisible characters")
    return text


def _suite(text: str) -> str:
    if text and ".." in text.split("/"):
        raise ValueError("may not contain `..`")
    return text


def _plain_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.username is not None or parts.fragment or not parts.hostname:
        raise ValueError("must be http(s)://host/path without user, password and fragment")
    return text


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """Let the domain check a text; pydantic adds the field's name to ValueErrors only."""

    def validate(text: str) -> str:
        try:
            check(text)
        except RolloutError as error:
            raise ValueError(str(error)) from error
        return text

    return AfterValidator(validate)


Line = Annotated[StrictStr, Field(max_length=500), AfterValidator(_one_line)]
Text = Annotated[StrictStr, Field(max_length=262_144), AfterValidator(_some_lines)]
Name = Annotated[StrictStr, _checked(lambda v: checked_name(v, "name"))]
PlatformName = Annotated[StrictStr, _checked(Platform.parse)]
Address = Annotated[StrictStr, _checked(lambda v: checked_address(v, "address"))]
PackageName = Annotated[StrictStr, _checked(lambda v: checked_package_name(v, "name"))]
PackageVersion = Annotated[StrictStr, _checked(lambda v: checked_version(v, "version"))]
Variable = Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Cve = Annotated[StrictStr, _checked(Vulnerability.read)]
Vex = Annotated[StrictStr, _checked(Impact.read)]
# `blah.conf:maxJobs`, `[CE] port`: each component has its own way to write them
Parameter = Annotated[StrictStr, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Url = Annotated[
    StrictStr, Field(max_length=2000, pattern=r"^https?://[^\s\x00-\x1f\x7f]+$"), AfterValidator(_plain_url)
]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Package(_Document):
    name: PackageName
    version: PackageVersion
    arch: PackageName


class _Bug(_Document):
    number: Annotated[StrictInt, Field(ge=1, lt=10**9)]
    title: Line
    severity: Severity
    originator: Address


class _Case(_Document):
    name: Name
    title: Line
    how: Annotated[StrictStr, Field(max_length=20_000), AfterValidator(_some_lines)] = ""


class _Repository(_Document):
    kind: RepositoryKind
    url: Url
    suite: Annotated[
        StrictStr, Field(pattern=r"^((\./)?[A-Za-z0-9][A-Za-z0-9._/+-]{0,127}|\.?/)?$"), AfterValidator(_suite)
    ] = ""
    components: Annotated[list[Name], Field(max_length=50)] = []


class PatchDocument(_Document):
    """A patch as JSON or YAML; the fields are those of `pps.domain.packages.patch.Patch`, platforms are `os-arch`."""

    number: Annotated[StrictInt, Field(ge=1, lt=10**9)]
    title: Line
    state: PatchState
    metapackage: Name
    version: Name
    platforms: Annotated[list[PlatformName], Field(max_length=50)]
    repository: _Repository
    packages: Annotated[list[_Package], Field(max_length=5000)]
    externals: Annotated[list[_Package], Field(max_length=5000)] = []
    bugs: Annotated[list[_Bug], Field(max_length=1000)] = []
    release_notes: Text = ""
    special_configuration: Text = ""
    new_variables: Annotated[list[Variable], Field(max_length=1000)] = []
    changed_variables: Annotated[list[Variable], Field(max_length=1000)] = []
    basic_certification_passed: StrictBool = False
    install_tested: Annotated[list[PlatformName], Field(max_length=50)] = []
    programming_ph: Annotated[StrictInt, Field(ge=0, le=100_000)] | None = None
    provider: Address | Literal[""] = ""
    kind: PatchKind = PatchKind.CLIENT
    service_type: Name | Literal[""] = ""
    component_parameters: Annotated[list[Parameter], Field(max_length=1000)] = []
    operational_changes: Text = ""
    database_schema_changed: StrictBool = False
    clients_compatible: StrictBool = True
    new_functionality: StrictBool = False
    installation_guide: Line = ""
    configuration_guide: Line = ""
    test_cases: Annotated[list[_Case], Field(max_length=200)] = []
    cves: Annotated[list[Cve], Field(max_length=200)] = []
    vex: Annotated[list[Vex], Field(max_length=200)] = []
    embargo_until: AwareDatetime | None = None

    def to_domain(self) -> Patch:
        """The domain's patch."""
        values: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        values["repository"] = Repository(
            self.repository.kind, self.repository.url, self.repository.suite, tuple(self.repository.components)
        )
        for name in ("packages", "externals"):
            values[name] = tuple(PackageRef(p.name, p.version, p.arch) for p in values[name])
        for name in ("platforms", "install_tested"):
            values[name] = tuple(Platform.parse(p) for p in values[name])
        for name in ("new_variables", "changed_variables", "component_parameters"):
            values[name] = tuple(values[name])
        values["cves"] = tuple(map(Vulnerability.read, self.cves))
        values["vex"] = tuple(map(Impact.read, self.vex))
        values["bugs"] = tuple(Bug(b.number, b.title, b.severity, b.originator) for b in self.bugs)
        values["test_cases"] = tuple(Case(c.name, c.title, c.how) for c in self.test_cases)
        return Patch(**values)


def parse_patch(raw: object, *, unknown: Literal["ignore", "forbid"] = "ignore") -> Patch:
    """Read a patch from parsed JSON or YAML; `PackageError` names every field that is wrong.

    Args:
        unknown: what to do with keys that we do not know. A tracker may have more fields than we
            (`ignore`); in a file that a person wrote they are typing errors (`forbid`).
    """
    number = raw.get("number") if isinstance(raw, Mapping) else None
    subject = f"patch {number}" if isinstance(number, int) and not isinstance(number, bool) else "patch"
    next_step = "Correct the patch where it was entered."
    try:
        return PatchDocument.model_validate(raw, extra=unknown).to_domain()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems = [f"{_place(e['loc'])}: {e['msg'].removeprefix('Value error, ').rstrip('.')}" for e in found]
        raise PackageError(subject, "; ".join(problems[:20]) + ".", next_step) from error
    except (RolloutError, ValueError, RecursionError) as error:
        # what the domain checks beyond the shape
        raise PackageError(subject, str(error), next_step) from error


def _place(location: tuple[int | str, ...]) -> str:
    """`bugs.0.severity`; keys that a stranger chose are cut and made printable."""
    return ".".join(p if isinstance(p, str) and p.isprintable() else repr(p) for p in location)[:120] or "the document"


def patch_document(patch: Patch) -> dict[str, Any]:
    """The document of a patch: `parse_patch(patch_document(p)) == p`."""

    def packages(refs: tuple[PackageRef, ...]) -> list[dict[str, str]]:
        return [{"name": r.name, "version": r.version, "arch": r.arch} for r in refs]

    repository = patch.repository
    return {
        "number": patch.number,
        "title": patch.title,
        "state": patch.state.value,
        "metapackage": patch.metapackage,
        "version": patch.version,
        "platforms": [str(p) for p in patch.platforms],
        "repository": {
            "kind": repository.kind.value,
            "url": repository.url,
            "suite": repository.suite,
            "components": list(repository.components),
        },
        "packages": packages(patch.packages),
        "externals": packages(patch.externals),
        "bugs": [
            {"number": b.number, "title": b.title, "severity": b.severity.value, "originator": b.originator}
            for b in patch.bugs
        ],
        "release_notes": patch.release_notes,
        "special_configuration": patch.special_configuration,
        "new_variables": list(patch.new_variables),
        "changed_variables": list(patch.changed_variables),
        "basic_certification_passed": patch.basic_certification_passed,
        "install_tested": [str(p) for p in patch.install_tested],
        "programming_ph": patch.programming_ph,
        "provider": patch.provider,
        "kind": patch.kind.value,
        "service_type": patch.service_type,
        "component_parameters": list(patch.component_parameters),
        "operational_changes": patch.operational_changes,
        "database_schema_changed": patch.database_schema_changed,
        "clients_compatible": patch.clients_compatible,
        "new_functionality": patch.new_functionality,
        "installation_guide": patch.installation_guide,
        "configuration_guide": patch.configuration_guide,
        "test_cases": [{"name": c.name, "title": c.title, "how": c.how} for c in patch.test_cases],
        "cves": list(map(str, patch.cves)),
        "vex": list(map(str, patch.vex)),
        "embargo_until": patch.embargo_until.isoformat() if patch.embargo_until else None,
    }
