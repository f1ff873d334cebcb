"""What may come how often in one rollout, and who may release: the machines' own idea of it, beside the product's."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

#: Facts that are told to somebody by one mail, in their transaction.
MAILED = {
    FactKind.QUESTION_ASKED: "to",
    FactKind.ANSWER_REFUSED: "link",
    FactKind.PROVIDER_TOLD: "to",
    FactKind.VO_INVITED: "to",
    FactKind.ORIGINATOR_INVITED: "bugs",
    FactKind.SITE_TOLD: "reason",
}
#: Kinds of mails that somebody may get more than once with one headline; and of these, in the very same words.
AGAIN = (
    *("reminded", "answer-refused", "meeting-called", "meeting-cancelled", "service-probed", "told"),
    *("rollout-paused", "rollout-resumed"),
)
IN_THE_SAME_WORDS = ("reminded", "answer-refused", "rollout-paused", "rollout-resumed")
#: What may be earned more than once in one rollout, and its occasions; all else has its own name for one.
_WHICH_TIME = {
    "pilot-service-manager": re.compile(r"[a-z-]+/week-([1-9]\d*)"),
    "pilot-service-expert": re.compile(r"[a-z-]+/week-([1-9]\d*)"),
    "deployment-scenario": re.compile(r"[a-z-]+/by-hand"),
}


def may_be_earned(credit: Fact, since: datetime, now: datetime) -> bool:
    """Once, or for a week that has passed by now, or nearly: the clock is set right now and then."""
    if (which := _WHICH_TIME.get(credit.payload["activity"])) is None:
        return credit.occasion == credit.payload["activity"]
    found = which.fullmatch(credit.occasion)
    weeks = int(found[1]) if found and found.lastindex else 0
    return found is not None and since + timedelta(weeks=weeks - 0.5) <= now + timedelta(days=2)


def twice(counted: Counter[Any]) -> list[Any]:
    """What was counted more than once."""
    return [what for what, times in counted.items() if times > 1]


def may_release(record: Rollout) -> bool:
    """Tell whether it is on record that somebody has decided to release."""
    decided = [f for f in record.facts if f.kind is FactKind.DECIDED]
    said = {str(f.payload.get("decision")).lower() for f in decided}
    wrapped = record.the(FactKind.WRAPPED_UP)
    return (
        record.has(FactKind.RELEASE_DECIDED)
        or bool(said & {"release", "overruled"})
        or (wrapped is not None and wrapped.payload["decision"] == "release")
    )
