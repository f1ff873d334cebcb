"""Reminders to people whose answer is awaited (service description, 4.1.3, 8).

"The PPS Coordinator is in charge of checking periodically and eventually to send reminders." A sweep over all
open questions: people are reminded of each once at every share of its time that policies.yaml names.

1. Who is due for a reminder: `remind`
2. Mails, also those that could not be sent earlier: `send_mails`

Mails are sent whether or not there are reminders; `say_what_failed` makes a run with a failed task a failed one.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag

from pps.orchestration import retries
from pps.orchestration.steps import clients as steps


@dag(
    schedule="@hourly",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=retries.ROLLOUT,
    doc_md=__doc__,
    tags=["people"],
)
def reminders() -> None:
    reminded = steps.remind()
    mails = steps.send_mails()
    reminded >> mails
    [reminded, mails] >> steps.say_what_failed()


reminders()
