"""What the API answers on how products do; as `answers`."""

from __future__ import annotations

from datetime import date, datetime

from pps.domain.quality.measures import Better, Unit, ValueState
from pps.domain.quality.measures_of_release import Begin
from pps.domain.quality.measures_plan import TargetVerdict
from pps.domain.record.facts import FactKind
from pps.web.api.answers import Answer


class Together(Answer):
    """One measure of several releases: days as their median, shares of all parts and wholes, counts as sums."""

    number: float | None
    part: int | None
    whole: int | None
    words: str
    measured: int
    waiting: int
    not_measured: int


class QualityRow(Answer):
    """One product in a period."""

    product: str
    provider: str | None
    releases: int
    together: dict[str, Together]
    met: int
    missed: int
    targets: int
    actions_open: int
    actions_overdue: int
    reviewed_at: datetime | None


class QualityOfProvider(Answer):
    """All products of a provider in a period."""

    provider: str
    releases: int
    together: dict[str, Together]


class QualityList(Answer):
    """Every product that whoever asks may see."""

    format: int
    since: date | None
    until: date | None
    products: list[QualityRow]
    providers: list[QualityOfProvider]


class StandingTarget(Answer):
    """What is planned now."""

    target: float
    words: str
    since: datetime
    user: str
    role: str
    reason: str


class MeasureOfProduct(Answer):
    """One measure: its definition, what was measured, what is planned."""

    key: str
    title: str
    unit: Unit
    better: Better
    what: str
    source: str
    together: Together
    target: StandingTarget | None
    met: int
    missed: int


class CountedFact(Answer):
    """One fact that a number counts."""

    rollout: str
    kind: FactKind
    subject: str
    at: datetime


class QualityNumber(Answer):
    """A number, or why there is none."""

    state: ValueState
    number: float | None
    part: int | None
    whole: int | None
    why: str
    words: str
    verdict: TargetVerdict
    target: float | None
    rollouts: list[str]


class WholeNumber(QualityNumber):
    """The same with what it counts; a number that waits, or is not measured, may count nothing."""

    counted: list[CountedFact]
    among: list[str]


class _Release(Answer):
    patch: int
    software: str
    metapackage: str
    version: str
    service_type: str | None
    begun_at: datetime
    begun_with: Begin
    in_production: bool
    is_open: bool
    rollouts: list[str]


class QualityOfRelease(_Release):
    """A release with its numbers."""

    values: dict[str, QualityNumber]


class WholeRelease(_Release):
    """A release, each number with the facts that it counts."""

    format: int
    values: dict[str, WholeNumber]


class QualityAction(Answer):
    """What somebody is to do; `state` is open, overdue, done or not done."""

    number: int
    text: str
    owner: str
    due: date
    measure: str
    state: str
    agreed_at: datetime
    user: str
    role: str
    ended_at: datetime | None
    said: str


class TargetSet(Answer):
    """A target as it was set; null: lifted."""

    number: int
    at: datetime
    measure: str
    target: float | None
    reason: str
    user: str
    role: str


class ReviewHeld(Answer):
    """A review, without its numbers."""

    number: int
    at: datetime
    user: str
    role: str
    text: str


class QualityOfProduct(Answer):
    """One product: plan, check, act."""

    format: int
    product: str
    provider: str | None
    since: date | None
    until: date | None
    measures: list[MeasureOfProduct]
    releases: list[QualityOfRelease]
    actions: list[QualityAction]
    targets: list[TargetSet]
    reviews: list[ReviewHeld]


class SeenNumber(Answer):
    """A number as a review has seen it."""

    state: ValueState
    number: float | None
    part: int | None
    whole: int | None
    why: str
    verdict: TargetVerdict


class SeenRelease(Answer):
    """A release as a review has seen it."""

    patch: int
    software: str
    begun_at: datetime
    values: dict[str, SeenNumber]


class SeenTogether(Answer):
    """A measure of all releases, and its target, as a review has seen them."""

    number: float | None
    part: int | None
    whole: int | None
    measured: int
    waiting: int
    not_measured: int
    target: float | None
    met: int
    missed: int


class SeenAction(Answer):
    """An action as a review has seen it."""

    number: int
    text: str
    owner: str
    due: date
    state: str
    said: str


class QualityReview(ReviewHeld):
    """A review, with the numbers as they were."""

    format: int
    product: str
    releases: list[SeenRelease]
    together: dict[str, SeenTogether]
    actions: list[SeenAction]


class QualitySaid(Answer):
    """What is on record now, and whether it is new."""

    product: str
    kind: FactKind
    number: int
    new: bool
    at: datetime
    user: str
