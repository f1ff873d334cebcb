"""The part of the API that wants an Airflow user. Addresses are masked: the CLI shows them to operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from pps.activities.clients.bulletin import stage
from pps.activities.people.said import answer_view, feedback_view
from pps.domain.base.texts import without_addresses
from pps.domain.people.feedback import answers, counting, invited_vos, outcome
from pps.domain.record.halts import halt_of
from pps.services import Services
from pps.web.public import rollout_or_404

After = Annotated[int, Query(ge=0, le=10**9)]
Limit = Annotated[int, Query(ge=1, le=1000)]


def masked(value: Any) -> Any:
    """The same data with every mail address as `a***@host`."""
    if isinstance(value, str):
        return without_addresses(value)
    if isinstance(value, Mapping):
        return {masked(k): masked(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [masked(v) for v in value]
    return value


def router(services: Callable[[], Services]) -> APIRouter:
    """Routes for Airflow users; `create_app` makes each of them ask for the user first."""
    api = APIRouter(prefix="/api/v1")

    @api.get("/rollouts")
    def list_rollouts(open_only: bool = False, after: After = 0, limit: Limit = 100) -> dict[str, Any]:
        """The register, newest first."""
        facts = services().facts
        rows = facts.rollouts(open_only=open_only)
        return {
            "total": len(rows),
            "rollouts": [
                {
                    "rollout": row.name,
                    "path": row.path,
                    "patch": row.patch,
                    "stage": stage(record),
                    "opened_at": row.opened_at.isoformat(),
                    "closed_at": row.closed_at.isoformat() if row.closed_at else None,
                    "failed": masked(halt.sentence) if (halt := halt_of(record)) else None,
                }
                for row in rows[after : after + limit]
                if (record := facts.rollout(row.name))
            ],
        }

    @api.get("/rollouts/{name}/facts")
    def list_facts(name: str, after: After = 0, limit: Limit = 200) -> dict[str, Any]:
        """The facts in the order of recording."""
        facts = rollout_or_404(services().facts, name).facts
        return {
            "total": len(facts),
            "facts": [
                {
                    "kind": fact.kind.value,
                    "subject": masked(fact.subject),
                    "occasion": masked(fact.occasion),
                    "at": fact.at.isoformat(),
                    "actor": masked(fact.actor),
                    "payload": masked(
                        {k: v for k, v in fact.payload.items() if k not in ("author", "token", "network")}
                    ),
                }
                for fact in facts[after : after + limit]
            ],
        }

    @api.get("/rollouts/{name}/outbox")
    def list_outbox(name: str) -> dict[str, Any]:
        """The mails: whether they were sent; not what they say."""
        facts = services().facts
        rollout_or_404(facts, name)
        return {
            "mails": [
                {
                    "to": masked(mail.to),
                    "subject": masked(mail.subject),
                    "sent_at": sent.isoformat() if sent else None,
                    "error": masked(error),
                }
                for mail, sent, error in facts.outbox(name)
            ]
        }

    @api.get("/feedback")
    def list_feedback(rollout: str) -> dict[str, Any]:
        """What was said of one preview, and who is silent; not who wrote it."""
        record = rollout_or_404(services().facts, rollout)
        given, parts = answers(record), feedback_view(record)
        return {
            "rollout": rollout,
            "outcome": outcome(record).value,
            "silent": sorted(invited_vos(record) - {a.vo for a in counting(given)}),
            "answers": [
                {
                    "identity": a.identity,
                    "vo": a.vo,
                    "opinion": a.opinion.value,
                    "text": masked(a.text),
                    "at": a.at.isoformat(),
                    "late": a.late,
                    "invited": a.invited,
                    "replaced": a.replaced,
                    "withdrawn_at": a.withdrawn_at.isoformat() if a.withdrawn_at else None,
                    "bugs": a.verdicts.payload.get("bugs", {}),
                    "test_cases": a.verdicts.payload.get("test_cases", {}),
                    "follow_ups": masked(answer_view(a)["follow_ups"]),
                }
                for a in given
            ],
            "bugs": parts["bugs"],
            "test_cases": parts["test_cases"],
        }

    return api
