"""HTML forms: what was typed, who sent it, and what comes back when it cannot be taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request

from pps.domain.base.errors import NotYetAllowedError, RefusedError, RolloutError
from pps.domain.people.roles import identities
from pps.services import Services
from pps.web.guards import check_origin, check_type, read_text
from pps.workflow.desk import FrontOffice

URLENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in to Airflow."""

    name: str
    """user name"""
    identities: frozenset[str]
    """all names under which they are known; see `domain.people.roles.identities`"""

    @classmethod
    def of(cls, user: Any) -> Person:
        """From Airflow's user."""
        roles = (role.name for role in getattr(user, "roles", ()))
        return cls(user.get_name(), identities(user.get_id(), user.get_name(), roles))

    def holds(self, *roles: str) -> bool:
        """Tell whether they hold one of these roles now."""
        return any(f"role:{role}" in self.identities for role in roles)


async def sent_form(request: Request, services: Services, *, fields_at_most: int = 10) -> dict[str, str]:
    """The fields of a form that one of our own pages has sent.

    Raises:
        HTTPException: 403 from another site's page, 415, 413, 408 or 422 for what is no form.
    """
    check_origin(request, services.config.service.public_url)
    check_type(request, URLENCODED)
    return typed(await read_text(request), fields_at_most=fields_at_most)


def office_of(services: Services, person: Person, at: datetime) -> FrontOffice:
    """Where a page acts for somebody."""
    return FrontOffice.of(services, lambda: at, f"user {person.name}")


def typed(text: str, *, fields_at_most: int = 10) -> dict[str, str]:
    """The fields of a form: each once, text with line ends of ours; 422 otherwise."""
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=fields_at_most
        )
    except ValueError as error:
        raise HTTPException(422, "The form is not well-formed.") from error
    if len(found := dict(pairs)) != len(pairs):
        raise HTTPException(422, "A field of the form occurs twice.")
    return {name: value.replace("\r\n", "\n") for name, value in found.items()}  # browsers send CR LF


def status_and_reason(error: HTTPException | RolloutError) -> tuple[int, str]:
    """What to say, above the form, of an answer that was not taken."""
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, NotYetAllowedError | RefusedError):
        return 409 if isinstance(error, NotYetAllowedError) else 422, f"{error.why} {error.next_step}".strip()
    return 503, "The service has a problem of its own. Try again in a few minutes; your text is still here."
