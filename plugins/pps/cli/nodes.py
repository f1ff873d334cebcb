"""Of `pps doctor`: do all nodes work with the same configuration and version?"""

from __future__ import annotations

from collections.abc import Iterator

from pps.activities.sites.diagnosis import Finding, Health, failure
from pps.cli.front import Front
from pps.config.node import changed_at, this_node
from pps.domain.base.errors import RolloutError
from pps.domain.record.nodes import GONE_AFTER, OtherNode, compared


def node_findings(here: Front) -> Iterator[Finding]:
    """Enters this node, and compares all others with it."""
    now, config = here.now(), here.services.config
    mine, changed = this_node(config, now), changed_at(config)
    try:
        here.services.facts.keep_node(mine, at_once=True)
        others = compared(mine, changed, here.services.facts.nodes(now - GONE_AFTER), now)
    except RolloutError as error:
        yield failure("nodes", error)
        return
    same = [other.node.name for other in others if not other.differs]
    text = f"{', '.join([mine.name, *same])}: the same configuration, of {changed:%Y-%m-%d %H:%M} UTC."
    yield Finding("nodes", Health.OK, text if same else f"{mine.name}; no other one is known to be the same.")
    yield from (_different(other) for other in others if other.differs)


def _different(other: OtherNode) -> Finding:
    subject = f"node {other.node.name}"
    last = f"{other.node.seen_at:%Y-%m-%d %H:%M} UTC"
    what = ", ".join(other.differs)
    if other.is_known:
        why = f"at work on {last}, it differed from this node: {what}."
        return Finding(subject, Health.FAIL, why, "Bring the configuration to all nodes: docs/production.md, 9.")
    why = f"{other.node.name} differed on {last}, and has not told since the configuration here changed: {what}."
    return Finding(subject, Health.WARN, why, "Run pps doctor there: it enters what that node has now.")
