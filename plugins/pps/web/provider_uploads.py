"""Packages that providers upload: what is asked of each, and the door for programs.

People choose them in the form of a release (`provider_submit`).
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from pps.activities.packages import uploads
from pps.config.loader import Configuration
from pps.domain.base.errors import PackageError, RefusedError
from pps.domain.people.providers import Provider
from pps.services import Services, private_folder
from pps.web.forms import Person, office_of
from pps.web.guards import check_origin, check_type
from pps.web.provider_view import own_providers

_SECONDS = 1800.0
"""for one package to arrive"""


def provider_named(config: Configuration, person: Person, name: str) -> Provider:
    """For whom somebody uploads: the one of this name, or the only one that they speak for; 403 or 422 otherwise."""
    mine = own_providers(config, person)
    found = [p for p in mine if not name or p.name == name]
    if not found:
        raise HTTPException(403, "You speak for no such provider; people.yaml names each one's people.")
    if len(found) > 1:
        raise HTTPException(422, f"Name one of yours (provider): {', '.join(p.name for p in found)}.")
    return found[0]


def published(s: Services, person: Person, whose: Provider, file: Path, at: datetime) -> uploads.Uploaded:
    """Take one package; `RefusedError` says why not."""
    policies = s.config.policies
    try:
        return uploads.take(
            office_of(s, person, at),
            whose,
            person.name,
            file,
            s.package_reader,
            policies.tarball.to_port(),
            policies.submission.uploads_per_day,
            s.publish_upload,
        )
    except PackageError as error:
        raise RefusedError("the package", (error.why,), error.next_step) from error


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter()

    @api.put("/api/v1/provider/uploads")
    async def upload(request: Request, provider: str = "", user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Send a .deb or .rpm as it is; it is published in a repository of ours. 200 if it was there already."""
        s, person = services(), Person.of(user)
        check_origin(request, s.config.service.public_url)
        check_type(request, "application/octet-stream")
        whose, at = provider_named(s.config, person, provider), now()
        with tempfile.TemporaryDirectory(dir=private_folder(s.cache, "uploads"), prefix="upload-") as folder:
            file = Path(folder) / "package"
            await _received(request, file, s.config.policies.submission.upload_bytes_at_most)
            taken = await run_in_threadpool(published, s, person, whose, file, at)
        answer = {
            "provider": whose.name,
            "package": {"name": taken.package.name, "version": taken.package.version, "arch": taken.package.arch},
            "repository": {
                "kind": taken.repository.kind.value,
                "url": taken.repository.url,
                "suite": taken.repository.suite,
                "components": list(taken.repository.components),
            },
            "sha256": taken.sha256,
            "bytes": taken.bytes,
            "new": taken.new,
        }
        return JSONResponse(answer, 201 if taken.new else 200)

    return api


async def _received(request: Request, file: Path, at_most: int) -> None:
    """Write the body to a file: 413 beyond the limit, 408 if it does not arrive; never holds it in memory."""
    too_large = HTTPException(413, f"The package is larger than {at_most} bytes.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > at_most:
        raise too_large
    got = 0
    try:
        async with asyncio.timeout(_SECONDS):
            with file.open("xb") as to:
                async for chunk in request.stream():
                    got += len(chunk)
                    if got > at_most:
                        raise too_large
                    to.write(chunk)
    except TimeoutError as error:
        raise HTTPException(408, f"The package did not arrive within {_SECONDS:.0f} s.") from error
    if not got:
        raise HTTPException(422, "The request holds no package.")
