"""`pps scenarios`: on what updates are installed before they go out (SD 4.2)."""

from __future__ import annotations

import typer

from pps.cli import output
from pps.cli.front import front, group
from pps.config.loader import problems_in, read_model
from pps.config.scenario_models import ScenariosFile

app = group("The deployment scenarios: on what an update is installed before it goes out.")


@app.command("list")
def list_scenarios(ctx: typer.Context, as_json: output.Json = False) -> None:
    """List the scenarios, with who wants and who runs them."""
    scenarios = front(ctx).services.config.scenarios
    if as_json:
        return output.say_json(scenarios)
    if not scenarios:
        return output.say("No scenarios yet. docs/scenarios.md says how one is declared in scenarios.yaml.")
    rows = [
        (s.name, s.platform, s.node_type, s.system or "-", s.runner, "yes" if s.mandatory else "no", s.origin)
        for s in scenarios
    ]
    return output.say(output.table(("SCENARIO", "PLATFORM", "NODE", "SYSTEM", "RUNNER", "MUST", "WANTED BY"), rows))


@app.command()
def check(ctx: typer.Context, as_json: output.Json = False) -> None:
    """Check scenarios.yaml and list every mistake and contradiction in it."""
    config = front(ctx).services.config
    file = config.folder / "scenarios.yaml"
    count = 0
    problems: tuple[str, ...] = ()
    if file.exists() and not (problems := problems_in(file, ScenariosFile)):
        scenarios = tuple(s.to_domain() for s in read_model(file, ScenariosFile).scenarios)
        count, problems = len(scenarios), config.contradictions(scenarios)
    if as_json:
        output.say_json({"file": file, "scenarios": count, "problems": problems})
    elif problems:
        output.say(*problems, f"{file}: {len(problems)} problem(s).")
    elif not file.exists():
        output.say(f"{file} does not exist: there are no scenarios. docs/scenarios.md says how one is declared.")
    else:
        output.say(f"{file}: {count} scenarios, no problems.")
    if problems:
        raise typer.Exit(1)
