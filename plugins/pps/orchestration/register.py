"""What the start check asks the record of facts."""

from __future__ import annotations

from dataclasses import dataclass

from pps.activities.ports import Facts


@dataclass(frozen=True, slots=True)
class FactsRegister:
    """`pps.web.start_check.Register` on the port `Facts`."""

    facts: Facts

    def open_rollout(self, patch: int) -> str | None:
        """Name of the rollout that is open for this patch, or None."""
        return next((r.name for r in self.facts.rollouts(open_only=True) if r.patch == patch), None)

    def next_name(self, path: str, patch: int) -> str:
        """Name of the next rollout of this patch."""
        return self.facts.next_name(path, patch)
