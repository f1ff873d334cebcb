"""`pps`: the command line of PPS Rollout."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from pps import __version__
from pps.cli import backup, doctor, facts, login, output, restore
from pps.cli.clients import bulletin, controls, retry, rollouts, watching, withdrawal
from pps.cli.front import PpsGroup, front, group, opened
from pps.cli.packages import classify, keys, mirrors, patches, provider, trackers
from pps.cli.packages import why as why_command
from pps.cli.people import channels, credits, feedback, follow, mails, overrule, tasks, users
from pps.cli.pilots import doors, pilots, running
from pps.cli.quality import deployment_tests, exposure, measures, pools, release_tests, sam, scenarios
from pps.cli.sites import registry as sites
from pps.cli.sites import wishes as site_wishes
from pps.cli.trust import documents as trust
from pps.cli.trust import signing
from pps.domain.base.errors import ConfigurationError

#: Commands for the account that runs the service; everybody else's work without its secrets.
_OF_THE_SERVICE = ("doctor", "db", "facts", "keys", "channels", "backup", "restore", "users", "tracker")

app = typer.Typer(
    name="pps",
    cls=PpsGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    # a traceback with local variables would print passwords
    pretty_exceptions_enable=False,
    help="""Take a grid-middleware release to the sites as a preview, and ask its users.

    \b
    First steps:
      pps login https://pps.example.org   as yourself, from any machine
      pps doctor                          is everything in place, and what to do if not
      pps sites list                      who takes part
      pps patches list                    what could go out
      pps why PATCH                       what it waits for, who can act, until when
      pps classify PATCH                  does it need configuration at the sites
      pps rollout start PATCH --dry-run   what would happen, and why
      pps rollout start PATCH --follow    do it, and watch
      pps rollout watch ROLLOUT           in place: each site on a line, what it waits for
      pps feedback list ROLLOUT           what the VOs say
      pps release-test start PATCH        sites try it before it goes public
      pps pilot judge PATCH               a server update: minor or major, and why
      pps mirror make ROLLOUT             keep a pilot's packages from changing
      pps pilot show ROLLOUT              where a server pilot stands, and what comes next
      pps pilot journal ROLLOUT           how it runs
      pps tasks list                      whose answer is awaited
      pps follow add patch:PATCH          hear what is new of it, by mail
      pps rollout retry ROLLOUT           try the sites again that have failed
      pps rollout pause ROLLOUT           hold it back; resume lets it go on, stop ends it
      pps rollout withdraw ROLLOUT        take it back, at any time
      pps credits                         who has done how much
      pps provider submit FILE            a provider's release: what is found in it
      pps quality show PRODUCT            how its releases do, beside what was planned
      pps sign ROLLOUT --as NAME ...      allow sites with a kit to install it: two people do
      pps exposure CVE                    which sites still have a vulnerability
      pps trust show FILE                 what people sign for sites that verify themselves
      pps sites kit SITE                  what such a site's root installs

    Every command takes --json, and --help.""",
)


def _version(wanted: bool) -> None:
    if wanted:
        output.say(f"pps {__version__}")
        raise typer.Exit()


@app.callback()
def main(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="PPS_CONFIG",
            file_okay=False,
            metavar="FOLDER",
            help="Folder with sites.yaml and the others; default ./config.",
        ),
    ] = None,
    airflow_url: Annotated[
        str,
        typer.Option(
            envvar="PPS_AIRFLOW_URL", metavar="URL", help="Airflow's address; default: public_url of service.yaml."
        ),
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Give the commands their world; a test that brought its own keeps it."""
    if ctx.obj is None:
        ctx.obj = opened(config, airflow_url)
    if ctx.invoked_subcommand in _OF_THE_SERVICE and ctx.obj.is_far:
        raise ConfigurationError(
            f"pps {ctx.invoked_subcommand}",
            "works with databases, keys and folders of the service, and you have signed in from a machine of your own.",
            "Run it as the service's own account, as docs/production.md says; or ask those who run the service.",
        )


sites.app.add_typer(site_wishes.app)
app.add_typer(sites.app, name="sites")
app.add_typer(sites.app, name="site", hidden=True)  # of one, as other groups have it
app.add_typer(trust.app, name="trust")
app.command(name="sign")(signing.sign)
app.add_typer(patches.app, name="patches")
rollouts.app.command("withdraw")(withdrawal.withdraw)
rollouts.app.command("watch")(watching.watch)
rollouts.app.command("retry")(retry.retry)
for command in (controls.pause, controls.resume, controls.stop, controls.extend):
    rollouts.app.command(command.__name__)(command)
app.add_typer(rollouts.app, name="rollout")
app.add_typer(rollouts.app, name="rollouts", hidden=True)  # the plural, as other groups have it
app.add_typer(scenarios.app, name="scenarios")
app.add_typer(deployment_tests.app, name="deployment-test")
app.add_typer(pools.app, name="pools")
app.add_typer(release_tests.app, name="release-test")
pilots.app.add_typer(running.app)
pilots.app.add_typer(doors.app)
app.add_typer(pilots.app, name="pilot")
app.add_typer(sam.app, name="sam")
app.add_typer(feedback.app, name="feedback")
app.add_typer(follow.app, name="follow")
app.add_typer(bulletin.app, name="bulletin")
app.add_typer(mails.app, name="mails")
app.add_typer(channels.app, name="channels")
app.add_typer(mirrors.app, name="mirror")
app.add_typer(keys.app, name="keys")
app.add_typer(trackers.app, name="tracker")
app.command(name="credits")(credits.credits)
app.command(name="doctor")(doctor.doctor)
app.command(name="classify")(classify.classify)
app.command(name="exposure")(exposure.exposure)
app.command(name="why")(why_command.why)
app.add_typer(tasks.app, name="tasks")
app.command(name="overrule")(overrule.overrule)

app.add_typer(facts.app, name="facts")
app.add_typer(provider.app, name="provider")
app.add_typer(measures.app, name="quality")
app.add_typer(users.app, name="users")
app.command(name="backup")(backup.backup)
app.command(name="restore")(restore.restore)

database = group("The database of facts.")
app.add_typer(database, name="db")
app.command("login")(login.login)
app.command("logout")(login.logout)
app.command("whoami")(login.whoami)


@database.command()
def upgrade(ctx: typer.Context, as_json: output.Json = False) -> None:
    """Bring the database's schema up to date, and give the application's role its rights, if that is not so already.

    As the owner of the tables: connection pps_store_owner, where there is one.
    """
    front(ctx).services.upgrade_store()
    if as_json:
        return output.say_json({"current": True})
    return output.say("The database has this version's schema.")


def _no_sandbox() -> None:
    """A small grid on this machine, for trials (its packages are not installed here)."""
    raise ConfigurationError(
        "pps sandbox",
        "needs packages that a production installation does not have.",
        "In a checkout: make demo, or bin/setup VENV without --production.",
    )


def _add_sandbox() -> None:
    """`pps sandbox` needs the optional packages of `pps-rollout[sandbox]`; the rest does not."""
    try:
        sandbox = importlib.import_module("pps.cli.sandbox.grid")
        demo = importlib.import_module("pps.cli.sandbox.demo")
    except ModuleNotFoundError:
        app.command("sandbox", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(_no_sandbox)
        return
    sandbox.app.command()(demo.demo)
    sandbox.app.command()(demo.serve)
    app.add_typer(sandbox.app, name="sandbox")


_add_sandbox()

if __name__ == "__main__":
    app()
