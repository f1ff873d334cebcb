"""`pps pools`: the sites that try updates before these go public (SD 4.2.3)."""

from __future__ import annotations

import typer

from pps.cli import output
from pps.cli.front import front, group
from pps.cli.quality.declared import check_declared
from pps.config.pool_models import PoolsFile
from pps.domain.quality.pools import contradictions, reasons_against_taking_part

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

    def look(found: PoolsFile) -> tuple[int, tuple[str, ...]]:
        pools = tuple(p.to_domain() for p in found.pools)
        return len(pools), contradictions(pools, config.sites)

    check_declared(config.folder / "pools.yaml", "pools", PoolsFile, look, as_json=as_json)
