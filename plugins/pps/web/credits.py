"""Who has done how much (SD 4): a page for Regional Managers and coordination, with the same as CSV and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from pps.activities.people.effort import (
    FILTERS,
    CreditsFound,
    CreditsWanted,
    as_data,
    choices_of,
    credits_on_record,
    find_credits,
    in_pd,
)
from pps.domain.base.errors import RefusedError
from pps.domain.base.spreadsheets import csv_text
from pps.domain.people.effort import NONE, Grouping, Total, days_of
from pps.services import Services
from pps.web.shell import page

_SUMS, _LIST = "sums", "list"
_PERIODS = (Grouping.MONTH, Grouping.WEEK)
#: Rows of a list on the page; all of them are in the CSV.
_SHOWN = 500
_ALONE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Typed:
    """What is in the address, as it was typed."""

    by: str = Grouping.ACTIVITY.value
    """person, site, region, activity, month or week"""
    since: str = ""
    """the first day, e.g. 2026-03-01 (UTC)"""
    until: str = ""
    """the last day, which is included"""
    site: str = ""
    person: str = ""
    activity: str = ""
    region: str = ""
    show: str = _SUMS
    """sums, or list: each completed activity"""

    def read(self) -> CreditsWanted:
        """What is wanted; `RefusedError` names each field that cannot be read, and what can stand there."""
        reasons: list[str] = []
        for field, valid in (("by", [g.value for g in Grouping]), ("show", [_SUMS, _LIST])):
            if (given := getattr(self, field)) not in valid:
                reasons.append(f"{field}: {given[:60]!r} is none of: {', '.join(valid)}.")
        days: dict[str, date | None] = {}
        for field in ("since", "until"):
            given = getattr(self, field).strip()
            try:
                days[field] = date.fromisoformat(given) if given else None
            except ValueError:
                reasons.append(f"{field}: {given[:40]!r} is no day; write one like 2026-03-01.")
        if reasons:
            raise RefusedError("credits", tuple(reasons))
        chosen = {by.value: getattr(self, by.value).strip() for by in FILTERS}
        return CreditsWanted(Grouping(self.by), days["since"], days["until"], **chosen)

    def address(self, **changes: str) -> str:
        """The same, or nearly the same, as it stands behind the question mark."""
        given = {f.name: getattr(self, f.name) for f in fields(self)} | changes
        usual = {f.name: f.default for f in fields(self)}
        return urlencode({key: value for key, value in given.items() if value != usual[key]})


def router(services: Callable[[], Services], current_user: Callable[..., Any]) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter()

    def found(typed: Typed) -> CreditsFound:
        s = services()
        return find_credits(s.facts, typed.read(), s.config.activities, s.config.sites)

    @api.get("/credits")
    def credits_page(
        request: Request,
        typed: Annotated[Typed, Depends()],
        user: Any = Depends(current_user),  # noqa: B008
    ) -> Response:
        """Sums with links to what they are made of, or each completed activity; a wrong choice keeps what was typed."""
        s = services()
        if not request.url.query and (mine := s.config.people.regions_of(user.get_name())):
            # a Regional Manager who has chosen nothing yet begins with their own
            return RedirectResponse(f"credits?{typed.address(region=mine[0])}", 303)
        choices = choices_of(credits_on_record(s.facts), s.config.activities, s.config.sites)
        view: dict[str, Any] = {
            "typed": typed,
            "choices": choices,
            "groupings": [g.value for g in Grouping],
            "none": NONE,
            "csv": f"credits.csv?{typed.address()}",
            "data": f"api/v1/credits?{typed.address()}",
            "other": typed.address(show=_SUMS if typed.show == _LIST else _LIST),
        }
        try:
            view |= {"why": "", **_shown(typed, found(typed))}
        except RefusedError as error:
            view |= {"why": error.why, "found": None}
        return page(s.templates, "credits.html", view, "credits", status=422 if view["why"] else 200, headers=_ALONE)

    @api.get("/credits.csv")
    def credits_csv(typed: Annotated[Typed, Depends()]) -> Response:
        """The same for spreadsheets."""
        answer = found(typed)
        table = answer.list_table() if typed.show == _LIST else answer.sums_table()
        headers = {"Content-Disposition": 'attachment; filename="credits.csv"'}
        return Response(csv_text(*table), media_type="text/csv; charset=utf-8", headers=headers)

    @api.get("/api/v1/credits")
    def credits_data(typed: Annotated[Typed, Depends()]) -> dict[str, Any]:
        """Who has done how much: sums of credits, or each completed activity."""
        return as_data(found(typed), listed=typed.show == _LIST)

    return api


def _shown(typed: Typed, found: CreditsFound) -> Mapping[str, Any]:
    return {
        "found": found,
        "pd": in_pd(found.effort_ph),
        "rows": list(_rows(typed, found)) if typed.show == _SUMS else [],
        "listed": found.credits[:_SHOWN] if typed.show == _LIST else (),
        "more": max(0, len(found.credits) - _SHOWN),
    }


def _rows(typed: Typed, found: CreditsFound) -> Iterator[Mapping[str, Any]]:
    by = found.wanted.by
    for total in found.totals:
        yield {
            "name": found.name_of(total),
            "title": found.titles.get(total.key, "") if by is Grouping.ACTIVITY else "",
            "credits": total.credits,
            "pd": in_pd(total.effort_ph),
            "times": total.times,
            "list": typed.address(show=_LIST, **_only(found.wanted, total)),
        }


def _only(wanted: CreditsWanted, total: Total) -> dict[str, str]:
    """What chooses one row's own credits."""
    if wanted.by not in _PERIODS:
        return {wanted.by.value: total.key or NONE}
    first, last = days_of(total.key)
    return {
        "since": max(first, wanted.since or first).isoformat(),
        "until": min(last, wanted.until or last).isoformat(),
    }
