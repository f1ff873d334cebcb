"""What GOCDB says of a site, compared with the registry: every difference is a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support.gocdb import HOST_KEY, USABLE, document, service, site
from tests.support.histories import DEBIAN, a_site

from pps.activities.sites.registry_import import ImportPlan, SiteChange, plan_import
from pps.adapters.sites.gocdb import parse_listing
from pps.config.loader import site_problems
from pps.config.site_models import SiteModel
from pps.domain.sites.gocdb import Listing
from pps.domain.sites.site import CertificationStatus, Infrastructure, PartnerLevel, Site, reasons_against_preview

OURS = a_site(
    "IT-PERUGIA",
    contact="grid-admin@it-perugia.example.org",
    timezone="Europe/Rome",
    latitude=43.1,
    longitude=12.4,
)


def listing(*records: str) -> Listing:
    return parse_listing(document(*records).encode(), "gocdb.xml")


def plan(*records: str, registry: Mapping[str, Site] | None = None, prune: bool = False) -> ImportPlan:
    known = {"IT-PERUGIA": OURS} if registry is None else registry
    return plan_import(known, listing(*records), site_problems, prune=prune)


def changed(*records: str, ours: Site = OURS) -> dict[str, Any]:
    return {c.key: c.new for c in plan(*records, registry={ours.name: ours}).changes}


def without(*keys: str) -> tuple[tuple[str, str], ...]:
    return tuple((k, v) for k, v in USABLE if k not in keys)


def usable(*more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (*without(*(k for k, _ in more)), *more)


def test_a_listing_that_says_the_same_changes_nothing() -> None:
    found = plan(site("IT-PERUGIA"))
    assert found == ImportPlan()
    assert found.does_nothing


@pytest.mark.parametrize(
    ("said", "key", "new"),
    [
        ({"ROC": "NGI_IT"}, "roc", "NGI_IT"),
        ({"PRODUCTION_INFRASTRUCTURE": "PPS"}, "infrastructure", "PPS"),
        ({"PRODUCTION_INFRASTRUCTURE": "SC"}, "infrastructure", "SC"),
        ({"CERTIFICATION_STATUS": "Suspended"}, "certification", "Suspended"),
        ({"TIMEZONE": "UTC"}, "timezone", "UTC"),
        ({"CONTACT_EMAIL": "ops@example.org"}, "contact", "ops@example.org"),
        ({"CONTACT_EMAIL": "ops@example.org;grid@example.org"}, "contact", "ops@example.org, grid@example.org"),
        ({"CONTACT_EMAIL": "ops@example.org,\n  grid@example.org"}, "contact", "ops@example.org, grid@example.org"),
    ],
)
def test_each_thing_that_gocdb_says_otherwise_is_one_change(said: dict, key: str, new: str) -> None:
    assert changed(site("IT-PERUGIA", **said)) == {key: new}


def test_what_gocdb_does_not_say_stays_as_it_is() -> None:
    silent = dict.fromkeys(
        (
            "ROC",
            "PRODUCTION_INFRASTRUCTURE",
            "CERTIFICATION_STATUS",
            "TIMEZONE",
            "CONTACT_EMAIL",
            "LATITUDE",
            "LONGITUDE",
        ),
        "",
    )
    gold = replace(OURS, partner_levels=frozenset({PartnerLevel.GOLD}), accepts_previews=False, cpus=1200)
    assert changed(site("IT-PERUGIA", **silent), ours=gold) == {}


@pytest.mark.sd("3")
def test_partner_levels_come_from_extensions_of_which_there_may_be_several() -> None:
    levels = [("PPS_PARTNER_LEVEL", "Gold"), ("PPS_PARTNER_LEVEL", "Silver"), ("PPS_PARTNER_LEVEL", "Gold")]
    assert changed(site("IT-PERUGIA", levels)) == {"partner_levels": ["Silver", "Gold"]}
    platinum = replace(OURS, partner_levels=frozenset({PartnerLevel.PLATINUM}))
    assert changed(site("IT-PERUGIA", [("PPS_PARTNER_LEVEL", "none")]), ours=platinum) == {"partner_levels": []}


@pytest.mark.parametrize(
    ("extensions", "says"),
    [
        ([("PPS_PARTNER_LEVEL", "Bronze")], "holds 'Bronze'; the levels are Silver, Gold, Platinum"),
        ([("PPS_PARTNER_LEVEL", "Gold"), ("PPS_PARTNER_LEVEL", "Bronze")], "holds 'Bronze'"),
        ([("PPS_PARTNER_LEVEL", "Gold"), ("PPS_PARTNER_LEVEL", "none")], "holds 'none'"),
        ([("PPS_PREVIEWS", "maybe")], "is neither yes nor no"),
        ([("PPS_PREVIEWS", "yes"), ("PPS_PREVIEWS", "no")], "PPS_PREVIEWS is given more than once"),
        ([("PPS_CONTACT", "a@b,<c@d>")], "not one plain mail address"),
    ],
)
def test_an_extension_that_cannot_be_right_is_a_problem_and_changes_nothing(extensions: list, says: str) -> None:
    found = plan(site("IT-PERUGIA", extensions))
    assert found.does_nothing
    (problem,) = found.problems
    assert problem.startswith("IT-PERUGIA: ")
    assert says in problem


@pytest.mark.parametrize(
    "said",
    [
        {"ROC": "a;b"},
        {"ROC": "$(id)"},
        {"PRODUCTION_INFRASTRUCTURE": "production"},
        {"CERTIFICATION_STATUS": "Certified\u202e"},
        {"TIMEZONE": "../../etc/passwd"},
        {"CONTACT_EMAIL": "a@b;<c@d>"},
        {"CONTACT_EMAIL": "x\nBcc: evil@x.org"},
    ],
)
def test_a_value_that_could_harm_is_a_problem_and_changes_nothing(said: dict) -> None:
    found = plan(site("IT-PERUGIA", **said))
    assert found.does_nothing
    assert len(found.problems) == 1


def test_the_opt_in_is_read_whatever_its_case() -> None:
    assert changed(site("IT-PERUGIA", [("PPS_PREVIEWS", "No")])) == {"accepts_previews": False}


@pytest.mark.sd("4.1.1", step=2)
@pytest.mark.parametrize("status", ["Suspended", "Closed", "Uncertified", "Candidate"])
def test_a_site_that_gocdb_does_not_certify_drops_out_of_selection_and_the_reason_names_the_state(status: str) -> None:
    (change,) = plan(site("IT-PERUGIA", CERTIFICATION_STATUS=status)).changes
    assert change.sentence == (
        f"IT-PERUGIA: certification Certified -> {status}. It gets no previews while it is {status}."
    )
    assert reasons_against_preview(OURS, [DEBIAN]) == ()
    (reason,) = reasons_against_preview(replace(OURS, certification=CertificationStatus(change.new)), [DEBIAN])
    assert f"{status} in GOCDB" in reason


def test_a_site_is_the_same_whatever_the_case_of_its_name() -> None:
    assert plan(site("it-perugia", CERTIFICATION_STATUS="Closed")).changes == (
        SiteChange("IT-PERUGIA", "certification", "Certified", "Closed"),
    )


def test_a_site_that_is_listed_twice_in_other_words_is_left_alone_and_does_not_count_as_missing() -> None:
    found = plan(site("IT-PERUGIA", CERTIFICATION_STATUS="Closed"), site("it-perugia"), prune=True)
    assert found.does_nothing
    assert found.missing == ()
    assert "listed more than once" in found.problems[0]


def test_a_site_that_is_listed_twice_in_the_same_words_is_one() -> None:
    assert plan(site("IT-PERUGIA", ROC="NGI_IT"), site("IT-PERUGIA", ROC="NGI_IT")).problems == ()


# --- where a site is, and how large


@pytest.mark.parametrize(
    ("latitude", "longitude", "place"),
    [
        ("43.2", "12.4", {"latitude": 43.2}),
        ("-42.88", "+147.33", {"latitude": -42.88, "longitude": 147.33}),
        (" 43,2 ", "- 12,5", {"latitude": 43.2, "longitude": -12.5}),
        ("43.2,", "12.5", {"latitude": 43.2, "longitude": 12.5}),
        ("43.20000000000000284217", "012.49999999", {"latitude": 43.2, "longitude": 12.5}),
        ("51.48", "0", {"latitude": 51.48, "longitude": 0.0}),
        ("51.48", "-0.00001", {"latitude": 51.48, "longitude": 0.0}),
        ("90", "-180", {"latitude": 90.0, "longitude": -180.0}),
        # the same place as the registry has, in other words
        ("43.10", "12.400000000000000355", {}),
        ("+043,1", "12.4", {}),
        # nobody has entered it
        ("", "", {}),
        ("0", "0", {}),
        ("0.000000", "-0,0", {}),
        ("0", "", {}),
    ],
)
def test_a_place_is_read_as_people_write_it_and_the_same_place_is_no_change(
    latitude: str, longitude: str, place: dict
) -> None:
    found = plan(site("IT-PERUGIA", LATITUDE=latitude, LONGITUDE=longitude))
    assert found.problems == ()
    assert {c.key: c.new for c in found.changes} == place
    assert str([*place.values()]) == str([c.new for c in found.changes])  # no -0.0, no 43.2000000001
    again = replace(OURS, **{c.key: c.new for c in found.changes})
    assert changed(site("IT-PERUGIA", LATITUDE=latitude, LONGITUDE=longitude), ours=again) == {}


def test_a_place_with_more_digits_than_we_compare_is_left_as_a_person_wrote_it() -> None:
    assert changed(site("IT-PERUGIA"), ours=replace(OURS, latitude=43.100001, longitude=12.399999)) == {}


def test_a_site_without_a_place_gets_it_in_two_changes_for_people() -> None:
    nowhere = replace(OURS, latitude=None, longitude=None)
    sentences = [c.sentence for c in plan(site("IT-PERUGIA"), registry={"IT-PERUGIA": nowhere}).changes]
    assert sentences == ["IT-PERUGIA: latitude none -> 43.1.", "IT-PERUGIA: longitude none -> 12.4."]


_NO_PLACE = [
    ({"LATITUDE": "somewhere"}, ["LATITUDE is 'somewhere'; a latitude is a decimal number of degrees"]),
    ({"LATITUDE": "95"}, ["LATITUDE is '95'; a latitude"]),
    ({"LONGITUDE": "-180.1"}, ["LONGITUDE is '-180.1'; a longitude"]),
    ({"LATITUDE": ""}, ["LATITUDE is missing; a latitude"]),
    ({"LATITUDE": "121.5", "LONGITUDE": "1O"}, ["LATITUDE is '121.5'", "LONGITUDE is '1O'"]),
    ({"LATITUDE": "43.1, 12.4"}, ["LATITUDE is '43.1, 12.4'"]),
    ({"LATITUDE": "43\u00b006 N"}, ["LATITUDE is '43\u00b006 N'"]),
    ({"LATITUDE": "4.31e1"}, ["LATITUDE is '4.31e1'"]),
    ({"LATITUDE": "nan"}, ["LATITUDE is 'nan'"]),
    ({"LONGITUDE": "inf"}, ["LONGITUDE is 'inf'"]),
    ({"LATITUDE": "9" * 60_000}, ["LATITUDE is '9999"]),
    ({"LATITUDE": "\u0664\u0663"}, ["LATITUDE is '\u0664\u0663'"]),
    ({"LATITUDE": "43\u202e"}, [r"LATITUDE is '43\u202e'"]),
]


@pytest.mark.parametrize(("said", "says"), _NO_PLACE, ids=range(len(_NO_PLACE)))
def test_a_place_that_cannot_be_right_is_a_problem_and_keeps_nothing_else_back(said: dict, says: list) -> None:
    for found in (
        plan(site("IT-PERUGIA", TIMEZONE="UTC", **said)),
        plan(site("IT-PERUGIA", USABLE, TIMEZONE="UTC", **said), registry={}),
    ):
        assert len(found.problems) == len(says)
        for problem, words in zip(found.problems, says, strict=True):
            assert problem.startswith(f"IT-PERUGIA: {words}")
            assert len(problem) < 200
        new = found.additions[0] if found.additions else {c.key: c.new for c in found.changes}
        assert new["timezone"] == "UTC"
        assert not {"latitude", "longitude"} & set(new)
        assert site_problems(new) == () if found.additions else True


def test_a_place_that_is_given_twice_leaves_no_site_out() -> None:
    twice = site("IT-PERUGIA", ROC="NGI_IT").replace("<LATITUDE>", "<LATITUDE>44</LATITUDE><LATITUDE>")
    found = plan(twice)
    assert [c.key for c in found.changes] == ["roc"]
    assert found.problems[0].startswith("IT-PERUGIA: LATITUDE is '44 / 43.1'; ")
    same = site("IT-PERUGIA").replace("<LATITUDE>", "<LATITUDE/><LATITUDE>43.1</LATITUDE><LATITUDE>")
    assert plan(same) == ImportPlan()


@pytest.mark.parametrize("registry", [{"IT-PERUGIA": OURS}, {}], ids=["known", "new"])
@pytest.mark.parametrize(
    ("said", "cpus", "says"),
    [
        (["1200"], 1200, ""),
        (["0"], None, "PPS_CPUS is '0'; a site has a whole number of logical CPUs from 1 to 10000000."),
        (["-5"], None, "PPS_CPUS is '-5'; "),
        (["1.2k"], None, "PPS_CPUS is '1.2k'; "),
        (["99999999"], None, "PPS_CPUS is '99999999'; "),
        (["9" * 5000], None, "PPS_CPUS is '9999"),
        (["100", "200"], None, "PPS_CPUS is given more than once, each time with another value."),
    ],
)
def test_the_size_comes_from_an_extension_and_one_that_cannot_be_right_keeps_no_site_out(
    registry: dict, said: list[str], cpus: int | None, says: str
) -> None:
    found = plan(site("IT-PERUGIA", [*USABLE, *(("PPS_CPUS", text) for text in said)]), registry=registry)
    problems = [p for p in found.problems if "CPUS" in p]
    assert all(p.startswith(f"IT-PERUGIA: {says}") for p in problems)
    assert len(problems) == bool(says)
    new = found.additions[0] if found.additions else {c.key: c.new for c in found.changes}
    assert new.get("cpus") == cpus
    assert len(found.additions) == (not registry)
    assert not [note for note in found.notes if "not a key" in note]


# --- services


def test_services_are_kept_with_host_and_whether_they_are_in_production() -> None:
    found = changed(
        service("IT-PERUGIA", "gLExec", in_production="N"), service("it-perugia"), service("IT-PERUGIA"), service("X")
    )
    assert found == {
        "services": [
            {"type": "CREAM-CE", "host": "ce01.it-perugia.example.org", "in_production": True},
            {"type": "gLExec", "host": "ce01.it-perugia.example.org", "in_production": False},
        ]
    }


def test_services_that_are_already_on_record_are_no_change() -> None:
    values = changed(service("IT-PERUGIA"))["services"]
    entry = {"services": values} | _entry_of(OURS)
    assert changed(service("IT-PERUGIA"), ours=SiteModel.model_validate(entry).to_domain()) == {}


def test_a_list_of_services_alone_says_nothing_about_missing_sites() -> None:
    found = plan(service("OTHER"), prune=True)
    assert found.missing == ()
    assert found.does_nothing
    assert "get_site is needed" in found.problems[0]


def _entry_of(site: Site) -> dict[str, Any]:
    ssh = {"host": site.ssh.host, "user": site.ssh.user, "host_key": site.ssh.host_key}
    keys = ("name", "roc", "preview_root", "production_root", "profile_d", "tag_dir", "subcluster", "contact")
    return {k: getattr(site, k) for k in keys} | {"platform": str(site.platform), "ssh": ssh}


# --- new sites


def added(extensions: tuple[tuple[str, str], ...], *more: str, **said: str) -> ImportPlan:
    return plan(site("IT-PERUGIA", extensions, **said), *more, registry={})


def test_a_site_that_says_all_that_is_needed_is_added_with_its_services() -> None:
    (entry,) = added(usable(("PPS_PARTNER_LEVEL", "Gold")), service("IT-PERUGIA")).additions
    assert site_problems(entry) == ()
    new = SiteModel.model_validate(entry).to_domain()
    assert (new.name, new.roc, new.timezone) == ("IT-PERUGIA", "Italy", "Europe/Rome")
    assert (new.ssh.host, new.ssh.port, new.ssh.host_key) == ("ui.it-perugia.example.org", 2222, HOST_KEY)
    assert (new.accepts_previews, new.partner_levels) == (True, frozenset({PartnerLevel.GOLD}))
    assert new.infrastructure is Infrastructure.PRODUCTION
    assert new.place == (43.1, 12.4)
    assert [s.type for s in new.services] == ["CREAM-CE"]
    assert not new.canary


def test_a_new_site_that_has_not_said_yes_takes_no_previews() -> None:
    (entry,) = added(without("PPS_PREVIEWS", "PPS_SSH_PORT")).additions
    assert entry["accepts_previews"] is False
    assert "port" not in entry["ssh"]


def test_a_site_with_some_keys_is_told_which_ones_it_lacks() -> None:
    (left,) = added((("PPS_PREVIEWS", "yes"), ("PPS_PLATFORM", "debian12-amd64"))).not_added
    assert left.reasons[0].startswith("lacks PPS_SSH_HOST, PPS_SSH_USER, PPS_SSH_HOST_KEY, PPS_PREVIEW_ROOT, ")


@pytest.mark.parametrize("key", [k for k, _ in USABLE if k not in ("PPS_PREVIEWS", "PPS_SSH_PORT")])
def test_each_needed_key_is_needed(key: str) -> None:
    found = added(without(key))
    assert found.additions == ()
    assert found.not_added[0].reasons == (f"lacks {key}.",)


def test_sites_without_any_key_of_ours_take_no_part_and_are_only_counted() -> None:
    found = added(())
    assert (found.additions, found.not_added, found.without_keys) == ((), (), ("IT-PERUGIA",))


@pytest.mark.parametrize(
    ("different", "says"),
    [
        ({"PPS_SSH_HOST": "-oProxyCommand=id"}, "ssh.host"),
        ({"PPS_SSH_HOST_KEY": "learn it"}, "ssh.host_key"),
        ({"PPS_SSH_PORT": "70000"}, "ssh.port"),
        ({"PPS_SSH_PORT": "22; id"}, "ssh.port"),
        ({"PPS_SSH_PORT": "\u0662\u0662"}, "ssh.port"),
        ({"PPS_SSH_USER": "$(id)"}, "ssh.user"),
        ({"PPS_PREVIEW_ROOT": "/opt/../etc"}, "preview_root"),
        ({"PPS_PREVIEW_ROOT": "/opt/glite/pps"}, "inside its production_root"),
        ({"PPS_PLATFORM": "debian12"}, "platform"),
        ({"PPS_SUBCLUSTER": "a/../b"}, "subcluster"),
        ({"PPS_SUBCLUSTER": "a$(id)"}, "subcluster"),
        ({"PPS_PARTNER_LEVEL": "Bronze"}, "Bronze"),
    ],
)
def test_a_new_site_whose_keys_could_harm_is_not_added(different: dict, says: str) -> None:
    found = added(usable(*different.items()))
    assert found.additions == ()
    assert says in " ".join(found.not_added[0].reasons)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"CERTIFICATION_STATUS": "Closed"}, "is Closed in GOCDB"),
        ({"CERTIFICATION_STATUS": ""}, "lacks its CERTIFICATION_STATUS"),
        ({"CONTACT_EMAIL": ""}, "lacks a contact"),
        ({"ROC": ""}, "lacks its ROC"),
        ({"ROC": "a b"}, "is not a name"),
    ],
)
def test_a_new_site_about_which_gocdb_says_too_little_is_not_added(said: dict, says: str) -> None:
    found = added(USABLE, **said)
    assert found.additions == ()
    assert says in " ".join(found.not_added[0].reasons)


# --- what a person decides


def test_how_a_known_site_is_reached_is_shown_but_never_taken_over() -> None:
    found = plan(site("IT-PERUGIA", [("PPS_SSH_HOST_KEY", HOST_KEY + "B"), ("PPS_SSH_HOST", "evil.example.org")]))
    assert found.does_nothing
    assert len(found.notes) == 2
    assert all("sites.yaml keeps its own" in note for note in found.notes)


def test_a_misspelt_key_of_ours_is_pointed_out() -> None:
    (note,) = plan(site("IT-PERUGIA", [("PPS_PARTNERLEVEL", "Gold"), ("OTHER", "x")])).notes
    assert "'PPS_PARTNERLEVEL' is not a key that we know" in note


def test_a_site_that_gocdb_no_longer_lists_is_reported_and_closed_only_when_asked() -> None:
    registry = {name: replace(OURS, name=name) for name in ("IT-PERUGIA", "IT-LECCE", "IT-MODENA")}
    records = (site("IT-PERUGIA"), site("IT-LECCE", CONTACT_EMAIL=""))
    found = plan(*records, registry=registry)
    assert (found.missing, found.changes) == (("IT-MODENA",), ())
    found = plan(*records, registry=registry, prune=True)
    assert found.changes == (SiteChange("IT-MODENA", "certification", "Certified", "Closed"),)
    closed = registry | {"IT-MODENA": replace(OURS, name="IT-MODENA", certification=CertificationStatus.CLOSED)}
    assert plan(*records, registry=closed, prune=True).does_nothing


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ((site("IT-PERUGIA"),), "2 of 3 sites are missing"),
        (('<meta><link rel="next" href="x"/></meta>', site("IT-PERUGIA"), site("IT-LECCE")), "in pages"),
        ((), "get_site is needed"),
    ],
)
def test_a_part_of_gocdb_prunes_nothing(records: tuple[str, ...], says: str) -> None:
    registry = {
        name: replace(OURS, name=name, contact=f"grid-admin@{name.lower()}.example.org")
        for name in ("IT-PERUGIA", "IT-LECCE", "IT-MODENA")
    }
    found = plan(*records, registry=registry, prune=True)
    assert found.does_nothing
    assert says in " ".join(found.problems)
