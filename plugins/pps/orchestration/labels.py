"""What a task is called in Airflow's lists where it is made for many: its batch, site or scenario, and how it went.

No task fails for a site that fails, so without this a list of green squares would say that all is well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from airflow.sdk import get_current_context

from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import ONE_SITE, STRAGGLERS
from pps.domain.record.site_states import FAILURES, SiteProgress, SiteState

# Each is a `map_index_template`. Airflow renders it before the work and behind it; arguments must be given by name.
#: Of a task with a `batch` that calls `say_how_it_went`; until then it has the name of the batch.
BATCH = "{{ label | default(task.op_kwargs.get('batch', '').removeprefix('" + ONE_SITE + "')) }}"
#: The same, of an operator with these arguments as attributes.
BATCH_OF_OPERATOR = "{{ label | default(task.batch.removeprefix('" + ONE_SITE + "')) }}"
SITE = "{{ task.op_kwargs.get('site', '') }}"
SCENARIO = "{{ task.op_kwargs.get('scenario', '') }}"
#: Of a `HumanStep`: the site, scenario or role that is asked.
ABOUT = "{{ task.about }}"
#: Of a `WaitUntil` with this argument.
WAITS = {
    "site": "{{ task.arguments.site }}",
    "batch": "{{ task.arguments.batch.removeprefix('" + ONE_SITE + "') }}",
}

#: What Airflow keeps of a label.
_AT_MOST = 250
#: Batches whose name says enough in their run; that of a night stands beside those of other rollouts.
_OF_ONE_ROLLOUT = ("canary", "fleet-", "silver-", STRAGGLERS, ONE_SITE)


def say_how_it_went(rollout: str, batch: str, counts: Mapping[str, int]) -> str:
    """Call the current task `fleet-1: 5 reached, 2 failed` from here on; returns that.

    Args:
        counts: word -> number of sites, in the order in which they are shown; the first also where it is 0.
    """
    name = batch.removeprefix(ONE_SITE) if batch.startswith(_OF_ONE_ROLLOUT) else f"{rollout}, {batch}"
    shown = ", ".join(f"{number} {word}" for place, (word, number) in enumerate(counts.items()) if number or not place)
    label = f"{name}: {shown}"[:_AT_MOST]
    get_current_context()["label"] = label  # type: ignore[typeddict-unknown-key]
    return label


def counted(batch: Iterable[SiteProgress], word: str, well: Collection[SiteState], step: str) -> dict[str, int]:
    """How many sites of a batch are well now, and how many have failed at this step; those that never got to it are in
    neither number. From the record, so that a second try of a task counts what the first one did."""
    found = {word: 0, "failed": 0}
    for p in batch:
        found[word] += p.state in well
        at = "probe" if p.fact and p.fact.kind is FactKind.PROBES_FAILED else p.fact and p.fact.payload.get("step")
        found["failed"] += p.state in FAILURES and at == step
    return found
