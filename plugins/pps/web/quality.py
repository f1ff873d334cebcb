"""How products do (docs/quality.md): what was planned, what is measured, what was agreed on; for their provider's
people and the release management (docs/adr/0036)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pps.activities.quality import reviews
from pps.activities.quality.measures import LAST, Ledger, Period
from pps.activities.quality.measures_view import product_view, release_view, summary_view, table
from pps.activities.quality.reviews import Speaker
from pps.domain.base.errors import RefusedError, RolloutError
from pps.domain.base.names import is_name
from pps.domain.base.spreadsheets import csv_text
from pps.domain.people.providers import reasons_against_looking
from pps.domain.quality.measures import MEASURES, Unit, in_short
from pps.domain.quality.measures_of_release import Release
from pps.domain.quality.measures_plan import RECORD, Plan, TargetVerdict, plan_of
from pps.domain.record.facts import Fact
from pps.services import Services
from pps.web.drawing.trend import Point, Trend, trend
from pps.web.forms import Person, office_of, sent_form, status_and_reason
from pps.web.shell import page

PRIVATE = {"Cache-Control": "no-store"}
#: A look at all products is at a quarter of a year, unless somebody says otherwise.
USUAL = timedelta(days=90)
_FIELDS = 8


@dataclass(frozen=True)
class Quality:
    """Looks, and acts, for somebody who has signed in."""

    services: Callable[[], Services]
    now: Callable[[], datetime]
    ledger: Ledger

    # --- who, and of what

    def product(self, name: str, person: Person) -> str:
        """Its name; 403 with the reason for whoever may not see how it does, 404 for what nobody knows."""
        s = self.services()
        if not is_name(name):
            raise HTTPException(404, "There is no such product.")
        if reasons := reasons_against_looking(name, s.config.providers, person.identities):
            raise HTTPException(403, " ".join(reasons))
        if not (self._is_planned(name) or self.ledger.of_product(name, last=1)):
            raise HTTPException(404, f"Nothing is on record of a product {name}, and people.yaml names no provider.")
        return name

    def _is_planned(self, name: str) -> bool:
        s = self.services()
        return any(p.has(name) for p in s.config.providers) or self.plan(name) != plan_of(name, ())

    def plan(self, product: str) -> Plan:
        """What was planned and agreed on."""
        return reviews.standing_plan(self.services().facts, product)

    # --- looks

    def all(self, person: Person, period: Period, provider: str = "") -> dict[str, Any]:
        """All products that somebody may see, in a period."""
        s = self.services()
        known = s.config.providers
        found: dict[str, list[Release]] = {p: [] for provided in known for p in provided.products}
        facts = s.facts.standing([RECORD])[RECORD].facts
        found |= {f.subject: [] for f in facts if f.subject}
        for release in self.ledger.in_period(period):
            for product in release.products:
                found.setdefault(product, []).append(release)
        seen = {
            product: (plan_of(product, facts), releases)
            for product, releases in found.items()
            if not reasons_against_looking(product, known, person.identities)
        }
        return summary_view(seen, known, period, self.now(), provider)

    def of(self, product: str, period: Period) -> tuple[Plan, tuple[Release, ...], dict[str, Any]]:
        """One product: its last releases, or those of a period."""
        releases = self.ledger.of_product(product, period, LAST if period == Period() else None)
        plan = self.plan(product)
        return plan, releases, product_view(plan, releases, self.services().config.providers, period, self.now())

    def release(self, product: str, patch: int) -> dict[str, Any]:
        """One release with the facts that its numbers count."""
        found = self.ledger.whole(patch) if 0 < patch < 10**9 else None
        if found is None or product not in found.products:
            raise HTTPException(404, f"There is no release {patch} of {product} on record.")
        return release_view(found, self.plan(product), whole=True)

    def review(self, product: str, number: int) -> dict[str, Any]:
        """One review, with the numbers as they were."""
        found = next((r for r in self.plan(product).reviews if r.number == number), None)
        if found is None:
            raise HTTPException(404, f"There is no review {number} of {product}.")
        about = {"product": product, "number": number, "at": found.at.isoformat(), "user": found.user}
        return {**about, "role": found.role, "text": found.text, **found.saw}

    # --- acts

    def speaker(self, person: Person) -> Speaker:
        """Somebody, as the rules know them."""
        return Speaker(person.name, person.identities, self.services().config.providers)

    def set_target(self, person: Person, product: str, measure: str, target: float | None, reason: str) -> Fact:
        """Set or lift a target."""
        office = office_of(self.services(), person, self.now())
        return reviews.set_target(office, product, measure, target, reason, self.speaker(person))

    def agree(self, person: Person, product: str, text: str, owner: str, due: str, measure: str) -> Fact:
        """Agree on an action."""
        office = office_of(self.services(), person, self.now())
        day = _day(due)
        return reviews.agree_action(office, product, text, owner, day, self.speaker(person), measure=measure)

    def end(self, person: Person, product: str, number: int, text: str, *, done: bool) -> Fact:
        """Say how an action ended."""
        office = office_of(self.services(), person, self.now())
        return reviews.end_action(office, product, number, text, self.speaker(person), done=done)

    def hold_review(self, person: Person, product: str, text: str) -> Fact:
        """Keep the numbers of now, with a conclusion."""
        office = office_of(self.services(), person, self.now())
        releases = self.ledger.of_product(product)
        return reviews.hold_review(office, product, text, releases, self.speaker(person))

    def by_form(self, person: Person, product: str, typed: Mapping[str, str]) -> None:
        """What a form of the product's page says."""
        text, measure = typed.get("text", ""), typed.get("measure", "")
        match typed.get("do", ""):
            case "target":
                self.set_target(person, product, measure, _number(typed.get("target", "")), text)
            case "lift":
                self.set_target(person, product, measure, None, text)
            case "action":
                self.agree(person, product, text, typed.get("owner", ""), typed.get("due", ""), measure)
            case "done" | "not-done" as how:
                number = typed.get("number", "")
                self.end(person, product, int(number) if number.isdecimal() else 0, text, done=how == "done")
            case "review":
                self.hold_review(person, product, text)
            case other:
                raise RefusedError(product, (f"There is no button {other[:40]!r}.",))


def _number(typed: str) -> float:
    with suppress(ValueError):
        return float(typed.strip().removesuffix("%").strip())
    raise RefusedError("target", (f"{typed[:40]!r} is no number; write one like 5 or 97.5.",), "Nothing was changed.")


def _day(typed: str) -> date:
    with suppress(ValueError):
        return date.fromisoformat(typed.strip())
    raise RefusedError("action", (f"{typed[:40]!r} is no day; write one like 2026-03-01.",), "Nothing was changed.")


def drawn(plan: Plan, releases: tuple[Release, ...]) -> dict[str, Trend]:
    """Measure -> its trend; those of which no release has a number have none."""
    found = {}
    for key, measure in MEASURES.items():
        if not any(r.values[key].number is not None for r in releases):
            continue
        points = []
        for r in releases:
            value, verdict, target = r.values[key], plan.judged(r, key), plan.target(key, r.begun_at)
            state = value.state.value if verdict is TargetVerdict.NO_TARGET else verdict.value
            number = target.target if target else None
            label = r.version or str(r.patch)
            mark = "" if value.number is None else in_short(measure, value.number)
            points.append(Point(label, value.number, state, value.words, mark, number))
        found[key] = trend(points, 100.0 if measure.unit is Unit.SHARE else None)
    return found


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime], ledger: Ledger
) -> APIRouter:
    """Pages for Airflow users; `create_app` puts the question for the user in front of each."""
    api, quality = APIRouter(), Quality(services, now, ledger)

    def read(since: str, until: str, usual: Period) -> Period:
        return Period.read(since, until) if since.strip() or until.strip() else usual

    @api.get("/quality")
    def all_products(
        since: str = "",
        until: str = "",
        provider: str = "",
        user: Any = Depends(current_user),  # noqa: B008
    ) -> HTMLResponse:
        """Every product that somebody may see, in a period; without one in the last quarter of a year."""
        s, person = services(), Person.of(user)
        usual, why = Period((now() - USUAL).date(), None), ""
        try:
            period = read(since, until, usual)
        except RefusedError as error:
            period, why = usual, error.why
        view = {
            **quality.all(person, period, provider.strip()),
            "names": [p.name for p in s.config.providers],
            "typed": {"since": since or _iso(period.since), "until": until, "provider": provider},
            "table": MEASURES,
            "why": why,
        }
        return page(s.templates, "quality.html", view, "quality", status=422 if why else 200, headers=PRIVATE)

    def shown(
        product: str, person: Person, period: Period, typed: Mapping[str, str], status: int = 200, why: str = ""
    ) -> HTMLResponse:
        plan, releases, view = quality.of(product, period)
        empty = dict.fromkeys(("do", "measure", "target", "text", "owner", "due", "number", "since", "until"), "")
        view |= {
            "trends": drawn(plan, releases),
            "planned": tuple(MEASURES.values()),
            "may_not": " ".join(quality.speaker(person).reasons_against(product, "set targets and agree on actions")),
            "today": now().date().isoformat(),
            "typed": {**empty, **typed},
            "why": why,
            "last": LAST,
        }
        place = f"quality/{product}"
        return page(services().templates, "quality_product.html", view, place, status=status, headers=PRIVATE)

    @api.get("/quality/{product}")
    def one_product(
        product: str,
        since: str = "",
        until: str = "",
        user: Any = Depends(current_user),  # noqa: B008
    ) -> HTMLResponse:
        """One product: plan, check and act."""
        person = Person.of(user)
        quality.product(product, person)
        typed = {"since": since, "until": until}
        try:
            period = read(since, until, Period())
        except RefusedError as error:
            return shown(product, person, Period(), typed, 422, error.why)
        return shown(product, person, period, typed)

    @api.post("/quality/{product}")
    async def say(product: str, request: Request, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """Set a target, agree on an action or end it, hold a review."""
        person, typed = Person.of(user), dict[str, str]()
        await run_in_threadpool(quality.product, product, person)
        try:
            typed = await sent_form(request, services(), fields_at_most=_FIELDS)
            await run_in_threadpool(quality.by_form, person, product, typed)
        except (HTTPException, RolloutError) as error:
            status, why = status_and_reason(error)
            return await run_in_threadpool(shown, product, person, Period(), typed, status, why)
        part = {"review": "reviews", "target": "plan", "lift": "plan"}.get(typed["do"], "act")
        return RedirectResponse(f"{product}#{part}", 303, headers=PRIVATE)

    @api.get("/quality/{product}/releases.csv")
    def releases_csv(
        product: str,
        since: str = "",
        until: str = "",
        user: Any = Depends(current_user),  # noqa: B008
    ) -> Response:
        """The numbers of its releases, for spreadsheets."""
        quality.product(product, Person.of(user))
        plan, releases, _ = quality.of(product, read(since, until, Period()))
        headers = {**PRIVATE, "Content-Disposition": 'attachment; filename="releases.csv"'}
        return Response(csv_text(*table(releases, plan)), media_type="text/csv; charset=utf-8", headers=headers)

    @api.get("/quality/{product}/releases/{patch}")
    def one_release(product: str, patch: int, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """One release: each number with the facts that it counts."""
        quality.product(product, Person.of(user))
        view = {"product": product, "release": quality.release(product, patch), "table": MEASURES}
        place = f"quality/{product}/releases/{patch}"
        return page(services().templates, "quality_release.html", view, place, headers=PRIVATE)

    @api.get("/quality/{product}/reviews/{number}")
    def one_review(product: str, number: int, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """One review, with the numbers as they were."""
        quality.product(product, Person.of(user))
        view = {**quality.review(product, number), "table": MEASURES}
        place = f"quality/{product}/reviews/{number}"
        return page(services().templates, "quality_review.html", view, place, headers=PRIVATE)

    return api


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""
