"""The shape of a release as its provider submits it: JSON over REST, JSON or YAML of `pps provider submit`.

It is the document of a patch without what others decide: its number and state, who certified it, and the flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from pps.config.patch_documents import PatchDocument, parse_patch, patch_document
from pps.domain.base.errors import PackageError, RefusedError
from pps.domain.packages.patch import PatchState
from pps.domain.packages.submission import UNNUMBERED, Release

#: What a provider does not say: the tracker, certification, and the Release Manager do.
NOT_THEIRS = ("number", "state", "provider", "basic_certification_passed", "install_tested", "programming_ph")
#: What can be said beside the fields of a patch.
OWN = ("depends_on",)
FIELDS = (*(name for name in PatchDocument.model_fields if name not in NOT_THEIRS), *OWN)

_Number = Annotated[StrictInt, Field(ge=1, lt=UNNUMBERED)]


class _Own(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    depends_on: Annotated[list[_Number], Field(max_length=50)] = []


def parse_release(raw: object, contact: str) -> Release:
    """Read a release; `RefusedError` names every field that is wrong.

    Args:
        contact: mail address of its provider, as people.yaml has it.
    """
    if not isinstance(raw, Mapping):
        raise _refused("The document is no mapping of fields.")
    if theirs := [name for name in NOT_THEIRS if name in raw]:
        raise _refused(f"{', '.join(theirs)}: others decide on this; leave it out.")
    try:
        own = _Own.model_validate({name: raw[name] for name in OWN if name in raw})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise _refused(*(f"{'.'.join(map(str, e['loc']))}: {e['msg'].rstrip('.')}." for e in found[:10])) from error
    ours = {"number": UNNUMBERED, "state": PatchState.READY_FOR_CERTIFICATION.value, "provider": contact}
    try:
        patch = parse_patch({**{k: v for k, v in raw.items() if k not in OWN}, **ours}, unknown="forbid")
    except PackageError as error:
        raise _refused(error.why) from error
    return Release(patch, tuple(dict.fromkeys(own.depends_on)))


def release_document(release: Release) -> dict[str, Any]:
    """The document of a release, with every field: `parse_release(release_document(r), r.patch.provider) == r`."""
    document = {name: value for name, value in patch_document(release.patch).items() if name not in NOT_THEIRS}
    return {**document, "depends_on": list(release.depends_on)}


def _refused(*reasons: str) -> RefusedError:
    return RefusedError("release", reasons, "Correct the document; nothing was looked at.")
