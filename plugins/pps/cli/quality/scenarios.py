"""`pps scenarios`: what updates are installed on before they go out (SD 4.2)."""

from __future__ import annotations

import typer

from pps.cli import output
from pps.cli.front import front, group
from pps.cli.quality.declared import check_declared
from pps.config.scenario_models import ScenariosFile

app = group("The deployment scenarios: what an update is installed on before it goes out.")


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

    def look(found: ScenariosFile) -> tuple[int, tuple[str, ...]]:
        scenarios = tuple(s.to_domain() for s in found.scenarios)
        return len(scenarios), config.contradictions(scenarios)

    file, hint = config.folder / "scenarios.yaml", "docs/scenarios.md says how one is declared."
    check_declared(file, "scenarios", ScenariosFile, look, as_json=as_json, hint=hint)
