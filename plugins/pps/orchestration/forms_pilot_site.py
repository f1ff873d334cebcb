"""The questions of a pilot to a site's people: set-up, roll-back, report (SD 4.1.3, steps 7 to 9)."""

from __future__ import annotations

from pps.activities.packages import mirroring
from pps.activities.packages.repository_use import how_to_use
from pps.activities.pilots import report as pilot_report
from pps.activities.pilots import roll_back as pilot_roll_back
from pps.activities.pilots import set_up as pilot_setup
from pps.domain.base.errors import InvalidNameError, NotYetAllowedError, RefusedError
from pps.domain.people import questions
from pps.domain.pilots import rules as pilot_rules
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.orchestration import forms
from pps.orchestration.forms import Asking, Form, Given, line_field, people_of, text_field
from pps.orchestration.runtime import actor, now
from pps.services import Services

_NOT_THERE = "The site is no longer in the registry."


# --- set-up -------------------------------------------------------------------------------------


def _prepare_set_up(s: Services, record: Rollout, site_name: str) -> Asking | None:
    site = s.config.sites.get(site_name)
    pilot = Pilot(record)
    settled = site_name in pilot.served or pilot.is_left_out(site_name)
    if site is None or settled or record.is_over:
        return None
    put = questions.question(record, pilot_setup.STEP, site_name)
    agreed = pilot.agreement.set_up_until if pilot.agreement else now() + s.config.policies.pilots.set_up_within
    due = put.due if put else agreed
    patch = s.tracker.patch(record.patch_number)
    told = pilot_setup.newest_reasons(record, site_name)
    mirror = mirroring.mirror_repository(record, s.mirror_url)
    lines = how_to_use(mirror, record.name, s.published_keys, s.templates) if mirror else ""
    return Asking(
        title=f"{site.name}: please set up the pilot of {patch.metapackage} {patch.version}",
        body=s.templates.render("ask_pilot_set_up.md", pilot_setup.instructions(record, patch, site, due, told, lines)),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow_set_up(s: Services, record: Rollout, site_name: str, given: Given) -> tuple[Fact, ...]:
    """What they entered is looked at at once: a slip comes back while they are still there."""
    site = s.config.sites.get(site_name)
    if record.is_withdrawn:
        return ()  # they could not know; their answer is kept
    if site is None:
        raise RefusedError(site_name, (_NOT_THERE,))
    found = pilot_setup.facts_of_set_up(record, site, given.choice, given.form, given.user, now(), actor())
    if given.choice != pilot_setup.SET_UP:
        return found
    try:
        _, _, reasons = pilot_setup.look_at_service(record, site, given.form, s.service_probes)
    except InvalidNameError as error:
        reasons = (str(error),)
    if reasons:
        pilot_setup.tell_reasons(record, s.facts, site, reasons, s.templates, now(), actor())
        raise RefusedError(f"set-up at {site_name}", reasons, "Put it right, and answer again.")
    return found


def _silence_set_up(s: Services, record: Rollout, site: str) -> tuple[Fact, ...]:
    asked = questions.question(record, pilot_setup.STEP, site)
    if asked is None or record.is_withdrawn:
        return ()
    return pilot_setup.facts_of_silence(record, site, asked.due, now(), actor())


def credit_of_set_up(s: Services, record: Rollout, site: str) -> tuple[Fact, ...]:
    """The site's credit for the set-up, to be recorded when we have seen that it is done (SD 4.1.3, table)."""
    said = questions.decisive(record, pilot_setup.STEP, site)
    if said is None:
        return ()
    given = Given(said.choice, said.form, said.user, now())
    return (forms.credit_of_site(s, record, "pilot-setup", site, "", given),)


SET_UP = Form(
    step=pilot_setup.STEP,
    options=pilot_setup.OPTIONS,
    prepare=_prepare_set_up,
    follow=_follow_set_up,
    silence=_silence_set_up,
    fields={
        "endpoint": line_field(
            "Endpoint", "https://host:port/path, ldap://host:port or tcp://host:port; at a host of your site."
        ),
        "version": line_field("Version", "The version that was installed.", 64),
        "version_at": line_field(
            "Where the service says its version",
            "Empty for a JSON answer with `version`, and for a BDII; else json:<key>, header:<Name>, or banner (tcp).",
            100,
        ),
        "previous": line_field("Version of before", "What ran there until now; empty for a new service.", 64),
        "remarks": text_field("Remarks", "How it was set up; needed if it cannot be done: why. No passwords, no keys."),
    },
)


# --- roll-back ----------------------------------------------------------------------------------


def _prepare_roll_back(s: Services, record: Rollout, site_name: str) -> Asking | None:
    site = s.config.sites.get(site_name)
    if site is None or record.is_closed or Pilot(record).roll_back_asked(site_name) is None:
        return None
    put = questions.question(record, pilot_roll_back.STEP, site_name)
    due = put.due if put else now() + s.config.policies.pilots.roll_back_within
    opened = record.opened
    return Asking(
        title=f"{site.name}: please roll back {opened['metapackage']} {opened['version']}",
        body=s.templates.render("ask_pilot_roll_back.md", pilot_roll_back.instructions(record, site, due)),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow_roll_back(s: Services, record: Rollout, site: str, given: Given) -> tuple[Fact, ...]:
    return pilot_roll_back.facts_of_roll_back(record, site, given.choice, given.form, given.user, now(), actor())


ROLL_BACK = Form(
    step=pilot_roll_back.STEP,
    options=pilot_roll_back.OPTIONS,
    prepare=_prepare_roll_back,
    follow=_follow_roll_back,
    silence=lambda s, record, site: (),
    fields={
        "version": line_field("Version", "The version that runs now; empty if the service was taken away.", 64),
        "remarks": text_field("Remarks", "Needed if it cannot be rolled back: why."),
    },
)


# --- report -------------------------------------------------------------------------------------


def _prepare_report(s: Services, record: Rollout, site_name: str) -> Asking | None:
    site = s.config.sites.get(site_name)
    if site is None or record.is_closed:
        return None
    try:
        pilot_rules.may_report(Pilot(record), site_name)
    except NotYetAllowedError:
        return None
    put = questions.question(record, pilot_report.STEP, site_name)
    due = put.due if put else now() + s.config.policies.pilots.report_within
    patch = s.tracker.patch(record.patch_number)
    after = s.config.policies.pilots.incident_after
    view = pilot_report.report_view(record, patch, site, {}, now(), incident_after=after)
    return Asking(
        title=f"{site.name}: please report on the pilot of {patch.metapackage} {patch.version}",
        body=s.templates.render("ask_pilot_report.md", {**view, "due": due}),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow_report(s: Services, record: Rollout, site: str, given: Given) -> tuple[Fact, ...]:
    found = pilot_report.facts_of_report(record, site, given.choice, given.form, given.user, now(), actor())
    return (*found, forms.credit_of_site(s, record, "pilot-post-mortem", site, "", given))


def _after_report(s: Services, record: Rollout, site_name: str) -> None:
    """Also after silence: then the report is what we have seen ourselves."""
    if site := s.config.sites.get(site_name):
        pilot_report.write_report(
            record,
            s.facts,
            s.tracker.patch(record.patch_number),
            site,
            s.templates,
            s.publication_folder,
            incident_after=s.config.policies.pilots.incident_after,
            now=now(),
            actor=actor(),
        )


POST_MORTEM = Form(
    step=pilot_report.STEP,
    options=pilot_report.OPTIONS,
    prepare=_prepare_report,
    follow=_follow_report,
    silence=lambda s, record, site: (),
    after=_after_report,
    fields={
        "set_up": text_field("Set-up", "Hardware, operating system, configuration; empty if it went by the book."),
        "resources": text_field("Resource consumption", "Memory, CPU, disk, connections, compared with before."),
        "stability": text_field("Stability", "Restarts, leaks, hangs, under which load."),
        "issues": text_field("Issues", "What should be corrected, or go into the deployment guidelines."),
    },
)

FORMS = (SET_UP, ROLL_BACK, POST_MORTEM)
