"""A product as EGI's repositories describe it (JSON), read as releases of ours.

```json
{"name": "htcondor", "version": "9.0.1", "technologyProvider": "...", "description": "...", "releaseNotes": "https://...",
 "changeLog": "N/A", "documentationLinks": ["https://..."], "capabilities": ["File Access"],
 "targets": [{"platform": "centos7", "arch": "x86_64", "repositoryURL": "https://...", "gpgkey": "https://...",
              "rpms": ["https://.../condor-9.0.1-1.el7.x86_64.rpm"]}]}
```

Source: EGI repositories, "Data structure" and "Product" (the requirements of their JSON). What is not named here is
left out: who must have signed a repository (`gpgkey`) is not for its own document to say (docs/adr/0020).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from posixpath import basename, dirname
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from pps.domain.base.errors import RefusedError

_Short = Annotated[StrictStr, Field(max_length=500)]
_Link = Annotated[StrictStr, Field(max_length=2000)]
_RPM = re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)\.(?P<arch>[^.-]+)\.rpm")
_DEB = re.compile(r"(?P<name>[^_]+)_(?P<version>[^_]+)_(?P<arch>[^_]+)\.deb")
_NOTHING = ("", "n/a", "none", "-")


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Target(_Document):
    platform: _Short
    arch: _Short
    repositoryURL: _Link = ""
    rpms: Annotated[list[_Link], Field(max_length=5000)] = []
    debs: Annotated[list[_Link], Field(max_length=5000)] = []


class _Product(_Document):
    name: _Short
    version: _Short
    technologyProvider: _Short = ""
    description: Annotated[StrictStr, Field(max_length=100_000)] = ""
    releaseNotes: Annotated[StrictStr, Field(max_length=100_000)] = ""
    changeLog: Annotated[StrictStr, Field(max_length=100_000)] = ""
    documentationLinks: Annotated[list[_Link], Field(max_length=50)] = []
    capabilities: Annotated[list[_Short], Field(max_length=50)] = []
    targets: Annotated[list[_Target], Field(min_length=1, max_length=50)]


def is_egi_product(raw: object) -> bool:
    """Tell EGI's documents from ours."""
    return isinstance(raw, Mapping) and "targets" in raw and "metapackage" not in raw


def releases_of_product(raw: object) -> tuple[dict[str, Any], ...]:
    """The releases that a product makes, one for each repository: documents as `parse_release` reads them.

    A release of ours has one repository. Where the targets have several, the version names the platform, too, as each
    is a release of its own: `9.0.1-centos7`.

    Raises:
        RefusedError: every field that is wrong, and every file whose name tells no package.
    """
    try:
        product = _Product.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise _refused(*(f"{'.'.join(map(str, e['loc']))}: {e['msg'].rstrip('.')}." for e in found[:10])) from error
    groups: dict[tuple[str, str], list[_Target]] = {}
    for target in product.targets:
        groups.setdefault(_repository(target), []).append(target)
    return tuple(
        _release(product, kind, url, targets, alone=len(groups) == 1) for (kind, url), targets in groups.items()
    )


def _release(product: _Product, kind: str, url: str, targets: Sequence[_Target], *, alone: bool) -> dict[str, Any]:
    packages = dict.fromkeys(_package(link) for target in targets for link in (*target.rpms, *target.debs))
    by = f" by {product.technologyProvider}" if product.technologyProvider else ""
    return {
        "metapackage": product.name,
        "version": product.version if alone else f"{product.version}-{targets[0].platform}",
        "title": f"{product.name} {product.version}{by}",
        "platforms": list(dict.fromkeys(f"{t.platform}-{t.arch}" for t in targets)),
        "repository": {"kind": kind, "url": url} | ({"suite": "./"} if kind == "apt" else {}),
        "packages": [{"name": name, "version": version, "arch": arch} for name, version, arch in packages],
        "release_notes": _notes(product),
    }


def _repository(target: _Target) -> tuple[str, str]:
    """Kind and address: what the target names, else the one folder in which all its files are."""
    if bool(target.rpms) == bool(target.debs):
        raise _refused(f"{target.platform}-{target.arch}: name its packages, as rpms or as debs.")
    kind, links = ("yum", target.rpms) if target.rpms else ("apt", target.debs)
    if target.repositoryURL.startswith(("https://", "http://")):
        return kind, target.repositoryURL.rstrip("/")
    folders = {dirname(link) for link in links}
    if len(folders) != 1:
        why = f"its files are in {len(folders)} folders, so repositoryURL has to be the whole address of the repository"
        raise _refused(f"{target.platform}-{target.arch}: {why}.")
    return kind, folders.pop()


def _package(link: str) -> tuple[str, str, str]:
    name = basename(unquote(urlsplit(link).path))
    found = _RPM.fullmatch(name) or _DEB.fullmatch(name)
    if found is None:
        raise _refused(f"{name[:80]!r} tells no package: NAME-VERSION-RELEASE.ARCH.rpm, or NAME_VERSION_ARCH.deb.")
    return found["name"], found["version"], found["arch"]


def _notes(product: _Product) -> str:
    """Their description, and below it where they say more."""
    more = [
        ("Release notes", product.releaseNotes),
        ("Changes", product.changeLog),
        *(("Documentation", link) for link in product.documentationLinks),
        ("Capabilities", ", ".join(product.capabilities)),
    ]
    lines = [f"- {what}: {text.strip()}" for what, text in more if text.strip().lower() not in _NOTHING]
    return "\n\n".join(part for part in (product.description.strip(), "\n".join(lines)) if part)


def _refused(*reasons: str) -> RefusedError:
    return RefusedError("EGI product", reasons, "Correct the document; nothing was looked at.")
