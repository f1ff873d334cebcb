"""What `pps` reads for somebody who has signed in: the record, the patches, and the files of the configuration.

Whoever has signed in reads what the pages show: rollouts and dossiers, with mail addresses masked. Those who decide on
releases read all of it but what is nobody else's business (who follows what).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, Field

from pps.activities.ports.record import OpenRollout
from pps.config.loader import read_yaml
from pps.config.patch_documents import patch_document
from pps.config.record_documents import fact_document, mail_document, row_document
from pps.domain.base.errors import NotYetAllowedError, PatchNotFoundError
from pps.domain.base.texts import without_addresses
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.people.providers import MAY_LOOK
from pps.domain.people.roles import READERS, Role
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.services import Services
from pps.web.closed import masked
from pps.web.doors import Body, checked
from pps.web.forms import Person
from pps.web.guards import check_origin, check_type, read_text, strict_json

#: Those who read addresses, and what lies between a provider and the release management.
IN_OFFICE = (*MAY_LOOK, "Admin")
_EVERYBODY = tuple(READERS)
#: File of the configuration -> roles whose holders may read it. Secrets are in none.
FILES: Mapping[str, Sequence[str]] = {
    "policies.yaml": _EVERYBODY,
    "activities.yaml": _EVERYBODY,
    "scenarios.yaml": _EVERYBODY,
    "pools.yaml": (*IN_OFFICE, Role.REGIONAL_MANAGER),
    "sites.yaml": (*IN_OFFICE, Role.REGIONAL_MANAGER, Role.SECURITY_OFFICER),
    "people.yaml": IN_OFFICE,
    "service.yaml": IN_OFFICE,
    "tracker.yaml": IN_OFFICE,
}
#: Records that nobody reads here, and those that only the office reads.
_NOBODYS = (RolloutPath.FOLLOWING.value,)
_OFFICES = (RolloutPath.RELEASES.value, RolloutPath.QUALITY.value)
#: Parts of facts that are shown to nobody: keys of invitations, and by what answers are recognised.
_HIDDEN = ("token", "network")
_AUTHOR = "author"
_PAGE = 1000
_NAMES = 100


class Ask(StrEnum):
    """What can be asked of the record. Part of the API: never rename."""

    ROLLOUTS = "rollouts"
    FACTS = "facts"
    STANDING = "standing"
    ABOUT = "about"
    NEWEST = "newest"
    OF_KIND = "of-kind"
    WITH_PAYLOAD = "with-payload"
    NEXT_NAME = "next-name"
    TURNED_AWAY = "turned-away"
    OUTBOX = "outbox"


T = TypeVar("T")
Name = Annotated[str, Field(max_length=100)]
Moment = Annotated[AwareDatetime, Field(strict=False)]


class RecordBody(Body):
    """What is wanted of the record; fields that a question does not know are ignored."""

    ask: Annotated[Ask, Field(strict=False)]
    names: list[Name] = Field(default=[], max_length=_NAMES)
    """records: names of rollouts, dossiers"""
    kinds: list[Annotated[FactKind, Field(strict=False)]] = Field(default=[], max_length=len(FactKind))
    paths: list[Annotated[RolloutPath, Field(strict=False)]] = Field(default=[], max_length=len(RolloutPath))
    patch: Annotated[int, Field(ge=1, le=10**9)] | None = None
    open_only: bool = False
    subject: Annotated[str, Field(max_length=500)] = ""
    key: Name = ""
    values: list[Annotated[str, Field(max_length=500)]] = Field(default=[], max_length=_NAMES)
    since: Moment | None = None
    until: Moment | None = None
    as_of: Moment | None = None
    closed_after: Moment | None = None
    after: int = Field(default=0, ge=0, le=10**9)
    """how many of the answer's rows the asker has already"""


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter(prefix="/api/v1")

    @api.get("/me")
    def me(user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """Who asks, with the roles that they hold now, and which files of the configuration they may read."""
        person = Person.of(user)
        roles = sorted(role.name for role in getattr(user, "roles", ()))
        files = [file for file, allowed in FILES.items() if person.holds(*allowed)]
        return {"user": person.name, "roles": roles, "addresses": person.holds(*IN_OFFICE), "files": files}

    @api.get("/configuration/{file}")
    def configuration(file: str, user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """A file of the configuration; `content` is null where the installation has none of this name."""
        if file not in FILES:
            raise HTTPException(404, f"The configuration has these files: {', '.join(FILES)}.")
        if not (person := Person.of(user)).holds(*FILES[file]):
            roles = ", ".join(sorted(set(FILES[file])))
            raise HTTPException(403, f"{file} is read by those with one of these roles: {roles}.")
        config = services().config
        content = read_yaml(config.folder / file) if config.has(file) else None
        return {"file": file, "content": content if person.holds(*IN_OFFICE) else _dotted(content)}

    @api.get("/tracker/patches")
    def patches(state: PatchState | None = None, user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """The patches in the tracker, newest number first, or those in one state."""
        person = Person.of(user)
        return {"patches": [_shown(p, person) for p in services().tracker.patches(state)]}

    @api.get("/tracker/patches/{number}")
    def patch(number: int, user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """A patch as it is in the tracker."""
        s, person = services(), Person.of(user)
        try:
            found = s.tracker.patch(number)
        except PatchNotFoundError as error:
            raise HTTPException(404, f"patch {number} {error.why}") from error
        return {"patch": _shown(found, person), "page": s.tracker.page(number)}

    @api.post("/record")
    async def record(request: Request, user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """Read the record: facts of rollouts and dossiers, the register, the outbox. Nothing is changed."""
        check_origin(request, services().config.service.public_url)
        check_type(request, "application/json")
        wanted = checked(RecordBody, strict_json(await read_text(request)))
        return await run_in_threadpool(_Reader(services(), Person.of(user)).answer, wanted)

    return api


class _Reader:
    """Reads the record for somebody."""

    def __init__(self, services: Services, person: Person) -> None:
        self._facts = services.facts
        self._in_office = person.holds(*IN_OFFICE)
        self._closed = _NOBODYS if self._in_office else (*_NOBODYS, *_OFFICES)

    def answer(self, wanted: RecordBody) -> dict[str, Any]:
        """What is on record, as far as this person may read it."""
        names, facts = [name for name in wanted.names if name not in self._closed], self._facts
        match wanted.ask:
            case Ask.ROLLOUTS:
                found = _page("rows", self._rows(wanted), wanted, row_document)
            case Ask.NEWEST:
                found = {"numbers": dict(facts.newest(names))}
            case Ask.NEXT_NAME:
                if len(wanted.paths) != 1 or wanted.patch is None:
                    raise HTTPException(422, "next-name asks for one path and one patch.")
                found = {"name": facts.next_name(wanted.paths[0], wanted.patch)}
            case Ask.TURNED_AWAY:
                counts = facts.turned_away(names[0]) if names else {}
                found = {"counts": {limit.value: count for limit, count in counts.items()}}
            case Ask.OUTBOX:
                mails = facts.outbox(names[0]) if names else ()
                found = _page("mails", mails, wanted, lambda mail: self._seen(mail_document(*mail)))
            case _:
                seen = [fact for fact in self._wanted(names, wanted) if fact.rollout not in self._closed]
                found = _page("facts", seen, wanted, self._document)
        return found

    def _rows(self, wanted: RecordBody) -> Sequence[OpenRollout]:
        if wanted.paths and not (paths := [path for path in wanted.paths if path not in self._closed]):
            return ()
        return self._facts.rollouts(
            open_only=wanted.open_only,
            paths=paths if wanted.paths else (),
            patch=wanted.patch,
            closed_after=wanted.closed_after,
            as_of=wanted.as_of,
        )

    def _wanted(self, names: Sequence[str], wanted: RecordBody) -> Iterable[Fact]:
        facts = self._facts
        records: Iterable[Rollout]
        match wanted.ask:
            case Ask.OF_KIND:
                return facts.facts_of_kind(wanted.kinds, wanted.since, wanted.until)
            case Ask.WITH_PAYLOAD:
                if wanted.key in (*_HIDDEN, _AUTHOR) or len(wanted.kinds) != 1:
                    raise HTTPException(422, "with-payload asks for one kind, by a key that is shown.")
                return facts.with_payload(wanted.kinds[0], wanted.key, wanted.values)
            case Ask.STANDING:
                records = facts.standing(names, wanted.as_of).values()
            case Ask.ABOUT:
                records = facts.about(names, wanted.subject).values()
            case _:
                records = [record for name in names if (record := self._record(name))]
        return (fact for record in records for fact in record.facts)

    def _record(self, name: str) -> Rollout | None:
        try:
            return self._facts.rollout(name)
        except NotYetAllowedError:
            return None

    def _document(self, fact: Fact) -> Any:
        document = fact_document(fact)
        hidden = _HIDDEN if self._in_office else (*_HIDDEN, _AUTHOR)
        document["payload"] = {k: v for k, v in document["payload"].items() if k not in hidden}
        return self._seen(document)

    def _seen(self, document: Mapping[str, Any]) -> Any:
        return document if self._in_office else masked(document)


def _page(key: str, rows: Sequence[T], wanted: RecordBody, shown: Callable[[T], Any]) -> dict[str, Any]:
    return {key: [shown(row) for row in rows[wanted.after : wanted.after + _PAGE]], "total": len(rows)}


def _shown(patch: Patch, person: Person) -> Any:
    document = patch_document(patch)
    return document if person.holds(*IN_OFFICE) else _dotted(document)


def _dotted(value: Any) -> Any:
    """With each mail address as `a...@host`: masked, and still an address to whatever reads the document."""
    if isinstance(value, str):
        return without_addresses(value).replace("***@", "...@")
    if isinstance(value, Mapping):
        return {key: _dotted(part) for key, part in value.items()}
    return [_dotted(part) for part in value] if isinstance(value, list | tuple) else value
