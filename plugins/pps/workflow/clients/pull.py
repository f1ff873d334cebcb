"""What sites with a kit fetch by themselves is laid out anew (docs/kit.md)."""

from __future__ import annotations

from pps.activities.packages.embargo import public_record
from pps.activities.trust.pull import Shelf
from pps.workflow.alarm import raise_alarm
from pps.workflow.desk import FrontOffice


def lay_out(o: FrontOffice) -> tuple[str, ...] | None:
    """Write what is in force to the folder of service.yaml; returns the products that are offered, None without one.

    Raises:
        ServiceError: the folder does not work.
        ConfigurationError: the keys of sites.yaml cannot be used.
    """
    s = o.services
    if s.pull_folder is None:
        return None
    facts = public_record(o.facts, o.clock)
    shelf = Shelf(
        s.pull_folder, facts, s.artefacts, s.payload_cache, lambda name, error: raise_alarm(o.desk(name), error)
    )
    return shelf.lay_out(s.public_papers(facts))
