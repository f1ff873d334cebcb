"""`pps quality`: how products do: what was planned, what is measured, what was agreed on (plan, do, check, act).

All of it goes through Airflow, which knows who asks: a provider's people see their own products, and need no access to
our database.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import typer

from pps.cli import output
from pps.cli.front import front, group

app = group("How products do: targets, measured numbers, actions, reviews. Definitions are in docs/quality.md.")
actions = group("What was agreed on, by whom and until when.")
app.add_typer(actions, name="action")

Product = Annotated[str, typer.Argument(metavar="PRODUCT", help="A metapackage or type of service, e.g. glite-WN.")]
Key = Annotated[str, typer.Argument(metavar="MEASURE", help="Its key; see: pps quality measures.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="A sentence that says why; others read it.")]
Text = Annotated[str, typer.Option(metavar="TEXT", help="A sentence; others read it, and it is for ever.")]
Since = Annotated[str, typer.Option(metavar="DAY", help="Releases that began on this day (UTC) or later.")]
Until = Annotated[str, typer.Option(metavar="DAY", help="Releases that began on this day or before.")]


@app.command()
def measures(as_json: output.Json = False) -> None:
    """List what is measured, in which unit, and which direction is better."""
    from pps.domain.quality.measures import MEASURES

    if as_json:
        return output.say_json({"measures": list(MEASURES.values())})
    rows = ((m.key, m.unit, m.better, m.what) for m in MEASURES.values())
    return output.say(output.table(("MEASURE", "UNIT", "BETTER", "WHAT IS COUNTED"), rows))


@app.command("list")
def list_products(
    ctx: typer.Context,
    since: Since = "",
    until: Until = "",
    provider: Annotated[str, typer.Option(help="Only products of this provider.")] = "",
    as_json: output.Json = False,
) -> None:
    """List the products that you may see, with their targets, open actions and some numbers of a period."""
    query = {"since": since, "until": until, "provider": provider}
    found = front(ctx).get("quality", query, about="quality")
    if as_json:
        return output.say_json(found)
    if not found["products"]:
        return output.say("There is no product whose quality you may see.")
    keys = ("time-to-production", "sites-reached", "feedback-rate", "withdrawn-previews")
    rows = [
        (
            p["product"],
            p["provider"] or "-",
            p["releases"],
            f"{p['met']} of {p['met'] + p['missed']}",
            f"{p['actions_open']} ({p['actions_overdue']} overdue)" if p["actions_overdue"] else p["actions_open"],
            "; ".join(f"{key} {p['together'][key]['words']}" for key in keys),
        )
        for p in found["products"]
    ]
    return output.say(output.table(("PRODUCT", "PROVIDER", "RELEASES", "MET", "ACTIONS", "NUMBERS"), rows))


@app.command()
def show(
    ctx: typer.Context,
    product: Product,
    since: Since = "",
    until: Until = "",
    patch: Annotated[int, typer.Option(help="This release alone, with what its numbers count.")] = 0,
    review: Annotated[int, typer.Option(help="The numbers as this review saw them.")] = 0,
    as_json: output.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The releases as CSV, for spreadsheets.")] = False,
) -> None:
    """Show a product: measured beside planned, its last ten releases (or a period's), its actions and reviews."""
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other.")
    one = f"/releases/{patch}" if patch else f"/reviews/{review}" if review else ""
    found = front(ctx).get(f"quality/{product}{one}", {} if one else {"since": since, "until": until}, about=product)
    if as_json:
        return output.say_json(found)
    if patch:
        rows = [(key, v["words"], v["verdict"], v["why"]) for key, v in found["values"].items()]
        return output.say(output.table(("MEASURE", found["software"], "TARGET", "WHY"), rows))
    if review:
        output.say(f"Review {review} of {product}, {_moment(found['at'])}, {found['user']}: {found['text']}", "")
        rows = [
            (k, t["number"], t["target"], f"{t['met']} of {t['met'] + t['missed']}")
            for k, t in found["together"].items()
        ]
        return output.say(output.table(("MEASURE", "NUMBER", "TARGET", "MET"), _shown(rows)))
    if as_csv:
        return output.say_csv(*_csv(found))
    return _say_product(found)


def _say_product(found: dict[str, Any]) -> None:
    rows = [
        (
            m["key"],
            m["together"]["words"],
            m["target"]["words"] if m["target"] else "-",
            f"{m['met']} of {m['met'] + m['missed']}" if m["met"] or m["missed"] else "-",
        )
        for m in found["measures"]
    ]
    output.say(output.table(("MEASURE", "MEASURED", "TARGET NOW", "MET"), rows, title=found["product"]))
    told = [
        (
            r["patch"],
            r["software"],
            r["begun_at"][:10],
            "yes" if r["in_production"] else "no",
            " ".join(key for key, v in r["values"].items() if v["verdict"] == "missed") or "-",
        )
        for r in found["releases"]
    ]
    output.say(output.table(("PATCH", "RELEASE", "BEGAN", "IN PRODUCTION", "MISSED"), told))
    acted = [(a["number"], a["state"], a["due"], a["owner"], a["text"]) for a in found["actions"]]
    if acted:
        output.say(output.table(("ACTION", "STATE", "DUE", "OWNER", "WHAT"), acted))
    for r in found["reviews"]:
        output.say(f"Review {r['number']}, {_moment(r['at'])}, {r['user']}: {r['text']}")


def _csv(found: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    """As the page's own CSV has it."""
    measured = [m["key"] for m in found["measures"]]
    columns = ["patch", "software", "begun_at", "in_production"]
    columns += [f"{m['key']} ({m['unit']})" for m in found["measures"]]
    rows: list[list[object]] = []
    for r in found["releases"]:
        values = [v["state"] if v["number"] is None else v["number"] for v in (r["values"][key] for key in measured)]
        rows.append([r["patch"], r["software"], r["begun_at"], "yes" if r["in_production"] else "no", *values])
    return columns, rows


@app.command()
def target(
    ctx: typer.Context,
    product: Product,
    measure: Key,
    number: Annotated[float | None, typer.Argument(metavar="[TARGET]", help="In the measure's unit.")] = None,
    reason: Reason = "",
    none: Annotated[bool, typer.Option("--none", help="Lift it: no target from now on.")] = False,
    as_json: output.Json = False,
) -> None:
    """Set the target of a measure, for releases that begin from now on; --none lifts it.

    It is at most that number where less is better, else at least. Example:
    pps quality target glite-WN time-to-production 14 --reason "As agreed at the last review."
    """
    if none is (number is not None):
        raise typer.BadParameter("Give a number, or --none.")
    body = {"measure": measure, "target": number, "reason": reason}
    _say(ctx, f"quality/{product}/targets", body, product, as_json=as_json)


@app.command()
def review(ctx: typer.Context, product: Product, text: Text, as_json: output.Json = False) -> None:
    """Hold a review: the numbers of now, the targets and the actions are kept, with your conclusion."""
    _say(ctx, f"quality/{product}/reviews", {"text": text}, product, as_json=as_json)


@actions.command()
def add(
    ctx: typer.Context,
    product: Product,
    text: Text,
    owner: Annotated[str, typer.Option(metavar="USER", help="By whom; one user name.")],
    due: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], metavar="DAY", help="Until when, e.g. 2026-03-01.")],
    measure: Annotated[str, typer.Option(help="Key of the measure that it is to make better.")] = "",
    as_json: output.Json = False,
) -> None:
    """Agree on an action: it stays open, and is overdue after its day, until somebody says how it ended."""
    day: date = due.date()
    body = {"text": text, "owner": owner, "due": day.isoformat(), "measure": measure}
    _say(ctx, f"quality/{product}/actions", body, product, as_json=as_json)


@actions.command()
def end(
    ctx: typer.Context,
    product: Product,
    number: Annotated[int, typer.Argument(metavar="ACTION", help="Its number; see: pps quality show.")],
    text: Text,
    not_done: Annotated[bool, typer.Option("--not-done", help="It will not be done.")] = False,
    as_json: output.Json = False,
) -> None:
    """Say that an action was done, or (--not-done) will not be, and what was done, or why not."""
    _say(ctx, f"quality/{product}/actions/{number}", {"done": not not_done, "text": text}, product, as_json=as_json)


def _say(ctx: typer.Context, place: str, body: dict[str, Any], product: str, *, as_json: bool) -> None:
    said = front(ctx).post(place, body, about=product)
    if as_json:
        return output.say_json(said)
    what = said["kind"].removeprefix("quality-").replace("-", " ")
    word = "On record" if said["new"] else "It is on record already"
    return output.say(f"{word}: {what}, number {said['number']}.")


def _moment(text: str) -> str:
    return output.moment(datetime.fromisoformat(text))


def _shown(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [tuple("-" if cell is None else cell for cell in row) for row in rows]
