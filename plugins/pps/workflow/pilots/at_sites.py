"""The questions of a pilot to a site's people: set-up, roll-back, report (SD 4.1.3, steps 7 to 9)."""

from __future__ import annotations

from pps.activities.packages import mirroring
from pps.activities.packages.repository_use import how_to_use
from pps.activities.people.asking import Asking
from pps.activities.pilots import report, roll_back, set_up
from pps.domain.base.errors import InvalidNameError, NotYetAllowedError, RefusedError
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.pilots import rules
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact
from pps.domain.sites.site import Site
from pps.workflow.desk import FrontDesk
from pps.workflow.forms import Form, credit_of_site, line_field, people_of, text_field

_NOT_THERE = "The site is no longer in the registry."


# --- set-up -------------------------------------------------------------------------------------


def _prepare_set_up(d: FrontDesk, site_name: str) -> Asking | None:
    site = d.site(site_name)
    pilot = Pilot(d.rollout)
    settled = site_name in pilot.served or pilot.is_left_out(site_name)
    if site is None or settled or d.rollout.is_over:
        return None
    agreed = pilot.agreement.set_up_until if pilot.agreement else d.now + d.policies.pilots.set_up_within
    due = d.due(set_up.STEP, site_name, agreed)
    patch = d.patch
    mirror = mirroring.mirror_repository(d.rollout, d.services.mirror_url)
    lines = how_to_use(mirror, d.name, d.services.published_keys, d.templates) if mirror else ""
    return Asking(
        title=f"{site.name}: please set up the pilot of {patch.metapackage} {patch.version}",
        body=d.templates.render("ask_pilot_set_up.md", set_up.instructions(d.rollout, patch, site, due, lines)),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _check_set_up(d: FrontDesk, site_name: str, given: Given) -> tuple[Fact, ...]:
    """What the form alone tells; nobody knocks at the service."""
    if d.rollout.is_withdrawn:
        return ()  # they could not know; their answer is kept
    return set_up.facts_of_set_up(d, _known_site(d, site_name), given)


def _known_site(d: FrontDesk, name: str) -> Site:
    if (site := d.site(name)) is None:
        raise RefusedError(name, (_NOT_THERE,))
    return site


def _follow_set_up(d: FrontDesk, site_name: str, given: Given) -> tuple[Fact, ...]:
    """What they entered is looked at at once: a slip comes back while they still know of it."""
    found = _check_set_up(d, site_name, given)
    if given.choice != set_up.SET_UP or d.rollout.is_withdrawn:
        return found
    site = _known_site(d, site_name)
    try:
        _, _, reasons = set_up.look_at_service(d.rollout, site, given.form, d.services.service_probes)
    except InvalidNameError as error:
        reasons = (str(error),)
    if reasons:
        raise RefusedError(f"set-up at {site_name}", reasons, "Put it right, and answer again.")
    return found


def _silence_set_up(d: FrontDesk, site: str) -> tuple[Fact, ...]:
    asked = questions.question(d.rollout, set_up.STEP, site)
    if asked is None or d.rollout.is_withdrawn:
        return ()
    return set_up.facts_of_silence(d, site, asked.due)


def credit_of_set_up(d: FrontDesk, site: str) -> tuple[Fact, ...]:
    """The site's credit for the set-up, to be recorded when we have seen that it is done (SD 4.1.3, table)."""
    said = questions.decisive(d.rollout, set_up.STEP, site)
    if said is None:
        return ()
    given = Given(said.choice, said.form, said.user, d.now)
    return (credit_of_site(d, "pilot-setup", site, "", given),)


SET_UP = Form(
    step=set_up.STEP,
    options=set_up.OPTIONS,
    prepare=_prepare_set_up,
    follow=_follow_set_up,
    check=_check_set_up,
    silence=_silence_set_up,
    fields={
        "endpoint": line_field(
            "Endpoint", "https://host:port/path, ldap://host:port or tcp://host:port; on a host of your site."
        ),
        "version": line_field("Version", "The version that was installed.", 64),
        "version_at": line_field(
            "Where the service tells its version",
            "Empty for a JSON answer with `version`, and for a BDII; else json:<key>, header:<Name>, or banner (tcp).",
            100,
        ),
        "previous": line_field("Previous version", "What ran there until now; empty for a new service.", 64),
        "remarks": text_field("Remarks", "How it was set up; if it cannot be done, say why. No passwords, no keys."),
    },
)


# --- roll-back ----------------------------------------------------------------------------------


def _prepare_roll_back(d: FrontDesk, site_name: str) -> Asking | None:
    site = d.site(site_name)
    if site is None or d.rollout.is_closed or Pilot(d.rollout).roll_back_asked(site_name) is None:
        return None
    due = d.due(roll_back.STEP, site_name, d.now + d.policies.pilots.roll_back_within)
    opened = d.rollout.opened
    return Asking(
        title=f"{site.name}: please roll back {opened['metapackage']} {opened['version']}",
        body=d.templates.render("ask_pilot_roll_back.md", roll_back.instructions(d.rollout, site, due)),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow_roll_back(d: FrontDesk, site: str, given: Given) -> tuple[Fact, ...]:
    return roll_back.facts_of_roll_back(d, site, given)


ROLL_BACK = Form(
    step=roll_back.STEP,
    options=roll_back.OPTIONS,
    prepare=_prepare_roll_back,
    follow=_follow_roll_back,
    silence=lambda d, site: (),
    fields={
        "version": line_field("Version", "The version that runs now; empty if the service was taken away.", 64),
        "remarks": text_field("Remarks", "If it cannot be rolled back, say why."),
    },
)


# --- report -------------------------------------------------------------------------------------


def _prepare_report(d: FrontDesk, site_name: str) -> Asking | None:
    site = d.site(site_name)
    if site is None or d.rollout.is_closed:
        return None
    try:
        rules.may_report(Pilot(d.rollout), site_name)
    except NotYetAllowedError:
        return None
    due = d.due(report.STEP, site_name, d.now + d.policies.pilots.report_within)
    patch = d.patch
    after = d.policies.pilots.incident_after
    view = report.report_view(d.rollout, patch, site, {}, d.now, incident_after=after)
    return Asking(
        title=f"{site.name}: please report on the pilot of {patch.metapackage} {patch.version}",
        body=d.templates.render("ask_pilot_report.md", {**view, "due": due}),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow_report(d: FrontDesk, site: str, given: Given) -> tuple[Fact, ...]:
    found = report.facts_of_report(d, site, given)
    return (*found, credit_of_site(d, "pilot-post-mortem", site, "", given))


def _after_report(d: FrontDesk, site_name: str) -> None:
    """Also after silence: then the report is what we have seen ourselves."""
    if site := d.site(site_name):
        report.write_report(d, site, d.services.publication_folder, incident_after=d.policies.pilots.incident_after)


POST_MORTEM = Form(
    step=report.STEP,
    options=report.OPTIONS,
    prepare=_prepare_report,
    follow=_follow_report,
    silence=lambda d, site: (),
    after=_after_report,
    fields={
        "set_up": text_field("Set-up", "Hardware, operating system, configuration; empty if it went by the book."),
        "resources": text_field("Resource consumption", "Memory, CPU, disk, connections, compared with before."),
        "stability": text_field("Stability", "Restarts, leaks, hangs, under which load."),
        "issues": text_field("Issues", "What should be corrected, or go into the deployment guidelines."),
    },
)

FORMS = (SET_UP, ROLL_BACK, POST_MORTEM)
