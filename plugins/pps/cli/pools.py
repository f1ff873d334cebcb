"""`pps pools`: the sites that try updates before these go public (SD 4.2.3)."""

from __future__ import annotations

import typer

from pps.cli import output
from pps.cli.front import front, group
from pps.config.loader import problems_in, read_model
from pps.config.pool_models import PoolsFile
from pps.domain.pools import contradictions, reasons_against_taking_part

app = group("The pools of sites that try updates before these go public.")


@app.command("list")
def list_pools(ctx: typer.Context, as_json: output.Json = False) -> None:
    """List the pools, and which of their sites would not take part now."""
    config = front(ctx).services.config
    left_out = {
        name: reasons
        for pool in config.pools
        for name in pool.sites
        if (reasons := reasons_against_taking_part(config.sites[name]))
    }
    if as_json:
        return output.say_json({"pools": config.pools, "left_out": left_out})
    if not config.pools:
        return output.say("No pools yet. The comments in config/pools.yaml say how one is declared.")
    rows = [(pool.name, pool.roc, ", ".join(pool.services) or "-", ", ".join(pool.sites)) for pool in config.pools]
    output.say(output.table(("POOL", "ROC", "SERVICES", "SITES"), rows))
    if left_out:
        output.say(output.table(("LEFT OUT", "WHY"), [(name, " ".join(why)) for name, why in left_out.items()]))
    return None


@app.command()
def check(ctx: typer.Context, as_json: output.Json = False) -> None:
    """Check pools.yaml and list every mistake and contradiction in it."""
    config = front(ctx).services.config
    file = config.folder / "pools.yaml"
    count = 0
    problems: tuple[str, ...] = ()
    if file.exists() and not (problems := problems_in(file, PoolsFile)):
        pools = tuple(p.to_domain() for p in read_model(file, PoolsFile).pools)
        count, problems = len(pools), contradictions(pools, config.sites)
    if as_json:
        output.say_json({"file": file, "pools": count, "problems": problems})
    elif problems:
        output.say(*problems, f"{file}: {len(problems)} problem(s).")
    elif not file.exists():
        output.say(f"{file} does not exist: there are no pools.")
    else:
        output.say(f"{file}: {count} pools, no problems.")
    if problems:
        raise typer.Exit(1)
