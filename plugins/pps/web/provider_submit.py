"""The form in which a release is submitted; packages may be chosen in it, for those who have no repository."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pps.activities.packages.uploads import Uploaded, kind_of, upload_address
from pps.domain.base.errors import RolloutError
from pps.services import private_folder
from pps.web.forms import Person, sent_form, status_and_reason
from pps.web.guards import BODY_BYTES, check_origin
from pps.web.provider_desk import Desk
from pps.web.provider_form import NAMES, as_document, as_typed, with_uploaded
from pps.web.provider_uploads import provider_named, published
from pps.web.provider_view import own_providers
from pps.web.sent_files import Room, SentFile, is_multipart, sent_files
from pps.web.shell import page

_FIELDS = len(NAMES) + 3
"""with the button, and the provider whose uploads they are"""
_FILES = 20
"""at a time"""
_PREVIEW, _CHECK, _SUBMIT, _UPLOAD = "preview", "check", "submit", "upload"


@dataclass(frozen=True, slots=True)
class _Said:
    """What stands above the form."""

    why: str = ""
    notes: str = ""
    """to be shown as they will look"""
    uploaded: Sequence[Uploaded] = ()


def add_pages(api: APIRouter, desk: Desk, current_user: Callable[..., Any]) -> None:
    """The form, and what is sent with it."""

    def form(person: Person, typed: Mapping[str, str], said: _Said) -> HTMLResponse:
        s = desk.services()
        mine, policy = own_providers(s.config, person), s.config.policies
        view = {
            "typed": {**dict.fromkeys((*NAMES, "provider"), ""), **typed},
            "products": [product for p in mine for product in p.products],
            "providers": [(p.name, p.name) for p in mine],
            "uploads": {
                "files": _FILES,
                "each": _size(policy.submission.upload_bytes_at_most),
                "together": _size(policy.tarball.package_bytes_at_most),
                "per_day": policy.submission.uploads_per_day,
            }
            if mine and _takes_uploads(desk)
            else None,
            "said": said,
        }
        return page(s.templates, "provider_submit.html", view, "provider/submit")

    @api.get("/provider/submit")
    def submit_page(release: str = "", user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """The form; of a release that was sent before, with what was sent."""
        person = Person.of(user)
        typed = {"clients_compatible": "yes"}
        if release:
            product, _, version = release.partition("/")
            typed = as_typed(desk.known(person, product, version).newest.document)
        return form(person, typed, _Said())

    @api.post("/provider/submit")
    async def submit(request: Request, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """Take packages, preview the notes, look at a release, or submit it.

        What cannot be taken comes back with the reasons. Whichever button it was: with chosen files, these are
        uploaded, and nothing else is done, since what was typed does not name them yet.
        """
        person, typed = Person.of(user), dict[str, str]()
        with tempfile.TemporaryDirectory(dir=private_folder(desk.services().cache, "uploads")) as folder:
            try:
                typed, files = await _sent(request, desk, person, Path(folder))
                do = typed.pop("do", "")
                if files or do == _UPLOAD:
                    typed, said = await run_in_threadpool(_uploaded, desk, person, typed, files)
                    answer = await run_in_threadpool(form, person, typed, said)
                    answer.status_code = 422 if said.why else 200
                    return answer
                if do == _PREVIEW:
                    notes = typed.get("release_notes", "") or "(no notes)"
                    return await run_in_threadpool(form, person, typed, _Said(notes=notes))
                if do not in (_CHECK, _SUBMIT):
                    raise HTTPException(422, "do: choose one of the buttons.")
                document = as_document(typed)
                fact = await run_in_threadpool(lambda: desk.send(person, document, submit=do == _SUBMIT))
            except (HTTPException, RolloutError) as error:
                status, why = status_and_reason(error)
                answer = await run_in_threadpool(form, person, typed, _Said(why))
                answer.status_code = status
                return answer
        return RedirectResponse(f"{request.scope.get('root_path', '')}/provider/{quote(fact.subject)}", 303)


def _size(number: int) -> str:
    return f"{number / 2**20:.4g} MiB ({number} bytes)"


def _takes_uploads(desk: Desk) -> bool:
    service = desk.services().config.service
    return bool(service.upload_folder and service.upload_url)


async def _sent(request: Request, desk: Desk, person: Person, folder: Path) -> tuple[dict[str, str], list[SentFile]]:
    """What was typed, and the files that were chosen. Nobody but a provider's people sends more than text."""
    s = desk.services()
    if not is_multipart(request):
        return await sent_form(request, s, fields_at_most=_FIELDS), []
    check_origin(request, s.config.service.public_url)
    policy, takes = s.config.policies, bool(own_providers(s.config, person)) and _takes_uploads(desk)
    room = Room(
        _FIELDS,
        _FILES if takes else 0,
        policy.submission.upload_bytes_at_most,
        policy.tarball.package_bytes_at_most if takes else BODY_BYTES,
    )
    return await sent_files(request, folder, room)


def _uploaded(
    desk: Desk, person: Person, typed: Mapping[str, str], files: Sequence[SentFile]
) -> tuple[dict[str, str], _Said]:
    """Publish what was chosen: the form with their lines, and what is said of each that was not taken."""
    s, at = desk.services(), desk.now()
    whose = provider_named(s.config, person, typed.get("provider", ""))
    if not _takes_uploads(desk):
        raise HTTPException(422, "No packages are taken here: service.yaml names no folder for them.")
    if not files:
        raise HTTPException(422, "Choose one or more .deb or .rpm files first.")
    there = [file for file in files if not file.why_not]
    kinds = {kind_of(file.path) for file in there}
    if len(kinds) > 1:
        raise HTTPException(
            422,
            "Nothing was uploaded: a release has one repository, either of .deb or of .rpm files. "
            "Upload them for two releases.",
        )
    for kind in kinds:
        ours, named = upload_address(str(s.config.service.upload_url), whose.name, kind), typed.get("url", "").strip()
        if named.rstrip("/") not in ("", ours):
            raise HTTPException(
                422,
                f"Nothing was uploaded: the form names another repository ({named[:200]}), and a release has one. "
                "Empty its address if all packages are to come from ours.",
            )
    refused, taken = [f"{file.name}: {file.why_not}" for file in files if file.why_not], list[Uploaded]()
    for file in there:
        try:
            taken.append(published(s, person, whose, file.path, at))
        except RolloutError as error:
            refused.append(f"{file.name}: {status_and_reason(error)[1]}")
    return with_uploaded(typed, taken), _Said(" ".join(refused), uploaded=taken)
