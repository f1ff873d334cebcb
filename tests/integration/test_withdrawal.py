"""Previews leave sites: tags first, then files that nobody else shares, whatever happens in between."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk.exceptions import TaskDeferred
from tests.integration.test_sensors import FIRST
from tests.support.desks import at_desk, is_over
from tests.support.local_shell import target_of
from tests.support.previews import SMALL
from tests.support.sshd import SshServer, sshd  # noqa: F401
from tests.support.withdrawals import LIMITS, REASON, World, world  # noqa: F401

from pps.activities.people import notification
from pps.adapters.sites.ssh_openssh import OpenSshShell
from pps.domain.base.errors import NotYetAllowedError, RefusedError, ServiceError
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteState
from pps.orchestration.sensors import WaitUntil
from pps.orchestration.steps import withdrawal as steps_withdrawal
from pps.workflow.waits import WAITS

NEXT = {**SMALL, "bin/tool": b"#!/bin/sh\necho 3\n"}


# --- the order ---------------------------------------------------------------------------------------------------


def test_a_withdrawn_preview_is_gone_from_lists_and_disks_and_the_rollout_has_ended(world: World) -> None:
    name = world.out(SMALL, "1.0")
    assert (world.at_sites(name), world.tags_at(name)) == ("ABC", "ABC")

    world.withdraws(name)

    assert (world.at_sites(name), world.tags_at(name)) == ("", "")
    assert world.states(name) == [SiteState.WITHDRAWN] * 3
    record = world.record(name)
    assert record.is_closed and record.withdrawal_is_finished
    assert record.need(FactKind.ROLLOUT_CLOSED, "").payload["outcome"] == "withdrawn"
    assert {f.payload["reason"] for f in world.of(name, FactKind.PREVIEW_REMOVED)} == {REASON}
    assert all(f.payload["changed"] for f in world.of(name, FactKind.PREVIEW_REMOVED))
    assert world.facts.next_name("bc-client", 4711) == "bc-client-4711-2", "the patch is free"


def test_files_of_another_version_that_were_linked_to_it_stay(world: World) -> None:
    old = world.out(SMALL, "1.0")
    new = world.out(NEXT, "1.1", patch=4712)
    shared = Path(world.sites["A"].preview_root) / world.tarball(new) / "lib/libtool.so.1"
    assert shared.stat().st_nlink == 2

    world.withdraws(old)

    assert world.at_sites(old) == ""
    assert shared.stat().st_nlink == 1
    assert [world.looks(new, site) for site in "ABC"] == ["intact"] * 3
    assert (world.tags_at(old), world.tags_at(new)) == ("", "ABC")
    assert not world.record(new).is_withdrawn


def test_no_file_goes_before_the_information_system_has_let_go_of_the_tag(world: World) -> None:
    name = world.out(SMALL, "1.0")
    world.information_system.stale = {"B"}
    world.information_system.tags_of([])
    world.asks(name)
    steps_withdrawal.withdraw_tags.function(name)

    assert not is_over(world.services, "tags_are_gone", rollout=name)
    with pytest.raises(NotYetAllowedError, match="no longer shows the tags"):
        steps_withdrawal.remove_previews.function(name)
    with pytest.raises(NotYetAllowedError):
        steps_withdrawal.tell_of_withdrawal.function(name)
    assert world.at_sites(name) == "ABC"

    world.information_system.stale = set()
    assert is_over(world.services, "tags_are_gone", rollout=name)
    assert world.of(name, FactKind.TAGS_GONE)[0].payload == {"still_shown": []}


def test_a_site_whose_provider_is_dead_is_given_up_after_a_while_and_named(world: World) -> None:
    name = world.out(SMALL, "1.0")
    world.information_system.stale = {"B"}
    world.information_system.tags_of([])

    world.withdraws(name, wait=timedelta(minutes=21))

    assert world.of(name, FactKind.TAGS_GONE)[0].payload["still_shown"] == ["B"]
    assert world.at_sites(name) == ""
    assert "still showed the tag at B" in " ".join(world.postbox.mails[0].text.split())


def test_an_information_system_that_is_down_is_waited_for_until_the_limit(world: World) -> None:
    name = world.out(SMALL, "1.0")
    world.asks(name)
    steps_withdrawal.withdraw_tags.function(name)
    world.information_system.down = True

    world.clock += timedelta(minutes=20)
    with pytest.raises(ServiceError):
        is_over(world.services, "tags_are_gone", rollout=name)
    with pytest.raises(TaskDeferred):
        WaitUntil(task_id="wait", wait="tags_are_gone", arguments={"rollout": name}).execute(FIRST)
    assert not world.of(name, FactKind.TAGS_GONE)

    world.clock += timedelta(minutes=1)
    WaitUntil(task_id="wait", wait="tags_are_gone", arguments={"rollout": name}).execute(FIRST)
    gone = world.of(name, FactKind.TAGS_GONE)[0].payload
    assert gone["still_shown"] == ["A", "B", "C"] and "does not answer" in gone["reason"]
    steps_withdrawal.remove_previews.function(name)
    assert world.at_sites(name) == ""


def test_everything_twice_is_once(world: World) -> None:
    name = world.out(SMALL, "1.0")
    world.withdraws(name)
    facts, mails = world.record(name).facts, list(world.postbox.mails)

    world.withdraws(name, "Somebody else says something else about it.")

    assert world.record(name).facts == facts
    assert world.postbox.mails == mails
    assert world.record(name).need(FactKind.WITHDRAWAL_ASKED, "").payload["reason"] == REASON


def test_a_preview_that_was_released_can_still_be_withdrawn_and_the_release_stays(world: World) -> None:
    name = world.out(SMALL, "1.0")
    world.facts.record(world.fact(name, FactKind.RELEASED_TO_PRODUCTION))
    world.ends(name)

    world.withdraws(name)

    assert world.at_sites(name) == ""
    record = world.record(name)
    assert record.need(FactKind.ROLLOUT_CLOSED, "").payload["outcome"] == "released"
    assert not record.is_stopped
    assert "has been released to production, and is not affected" in " ".join(world.postbox.mails[0].text.split())


def test_before_anything_is_at_a_site_there_is_nothing_to_clear_and_it_ends_all_the_same(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    world.withdraws(name)
    assert world.record(name).is_closed
    assert world.of(name, FactKind.PREVIEW_REMOVED) == []
    assert [m.to for m in world.postbox.mails] == [world.services.config.service.reply_to]
    assert world.states(name) == [SiteState.PLANNED] * 3


def test_a_tag_whose_fact_was_lost_goes_too(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    site = world.sites["B"]
    file = Path(site.tag_dir) / site.subcluster / "ops/ops.list"
    file.parent.mkdir(parents=True)
    file.write_text("VO-ops-other\nVO-ops-PPS-CLIENT-1.0\n")

    world.withdraws(name)

    assert file.read_text() == "VO-ops-other\n"


# --- people ------------------------------------------------------------------------------------------------------


def test_everybody_who_was_told_of_it_and_the_sites_hear_that_it_is_gone_and_why_once(world: World) -> None:
    name = world.out(SMALL, "1.0", sites="AB")
    world.withdraws(name)
    mails = {m.to: m for m in world.postbox.mails}
    assert set(mails) == {
        *("atlas@example.org", "ada@example.org", world.services.config.service.reply_to),
        *("admin-a@example.org", "admin-b@example.org"),  # C never had it
    }
    assert len(world.postbox.mails) == len(mails)
    for mail in mails.values():
        assert mail.subject == "Stopped and withdrawn: client 1.0 (patch 4711)"
        text = " ".join(mail.text.replace("> ", "").split())
        assert REASON in text and "Production is untouched" in text
        assert 'Member("VO-ops-PPS-CLIENT-1.0"' in text
        assert REASON in mail.html
    assert "A: nothing. The preview below" in mails["admin-a@example.org"].text
    assert "What sites must do" not in mails["atlas@example.org"].text
    bulletin = (world.services.publication_folder.root / "bulletin.html").read_text()
    assert "g-withdrawn" in bulletin and "Usable at" not in bulletin


def test_nobody_is_invited_to_a_preview_that_is_withdrawn(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    world.asks(name)
    desk = at_desk(world.record(name), world.facts, now=world.clock)
    invite = (notification.broadcast, notification.invite_originators)
    for tell in invite:
        with pytest.raises(NotYetAllowedError, match="corrupts files"):
            tell(desk, None)  # type: ignore[arg-type]


# --- bad sites and nights ----------------------------------------------------------------------------------------


def test_a_site_that_cannot_be_reached_keeps_its_state_and_a_night_clears_it_tag_first(world: World) -> None:
    name = world.out(SMALL, "1.0")
    world.shell.unreachable = {"C"}
    world.withdraws(name, wait=timedelta(minutes=21))

    assert (world.at_sites(name), world.tags_at(name)) == ("C", "C")
    assert world.states(name) == [SiteState.WITHDRAWN, SiteState.WITHDRAWN, SiteState.AVAILABLE]
    assert world.of(name, FactKind.SITE_FAILED) == []
    assert world.record(name).is_closed, "one site does not hold up the others"
    told = {m.to: " ".join(m.text.split()) for m in world.postbox.mails}
    assert "1 site could not be cleared yet: C. The nightly run tries again." in told["atlas@example.org"]
    assert "it goes as soon as a night reaches the site" in told["admin-c@example.org"]

    facts = world.record(name).facts
    assert world.night() == [name]
    assert world.record(name).facts == facts, "still out of reach: nothing new"

    world.shell.unreachable = set()
    assert world.night() == [name]
    assert (world.at_sites(name), world.tags_at(name)) == ("", "")
    assert world.states(name) == [SiteState.WITHDRAWN] * 3
    removed, gone = world.of(name, FactKind.TAG_REMOVED)[-1], world.of(name, FactKind.TAGS_GONE)
    assert removed.subject == "C" and gone[-1].at > removed.at
    assert len(world.postbox.mails) == len(told), "no second mail"


def test_a_site_that_comes_back_in_the_middle_loses_its_tag_now_and_its_files_in_the_night(world: World) -> None:
    name = world.out(SMALL, "1.0")
    world.shell.unreachable = {"C"}
    world.asks(name)
    steps_withdrawal.withdraw_tags.function(name)
    world.clock += timedelta(minutes=21)
    assert is_over(world.services, "tags_are_gone", rollout=name)
    world.shell.unreachable = set()

    steps_withdrawal.remove_previews.function(name)
    steps_withdrawal.remove_previews.function(name)

    # the information system may show the tag for a while: jobs can still come
    assert (world.at_sites(name), world.tags_at(name)) == ("C", "")
    world.night()
    assert world.at_sites(name) == ""
    assert world.record(name).withdrawal_is_finished, "the night ends what broke off"


def test_a_site_without_a_connection_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    name = world.out(SMALL, "1.0")
    monkeypatch.setattr("pps.orchestration.steps.clients._targets", lambda sites: {n: target_of(n) for n in "AB"})
    world.withdraws(name, wait=timedelta(minutes=21))
    assert world.at_sites(name) == "C"


def test_a_preview_is_retired_when_its_rollout_has_ended_long_ago_without_any_mail(world: World) -> None:
    name = world.out(SMALL, "1.0")
    world.ends(name)

    assert world.night(timedelta(days=29)) == []
    assert world.night(timedelta(days=2)) == [name]

    assert (world.at_sites(name), world.tags_at(name)) == ("", "")
    assert world.states(name) == [SiteState.WITHDRAWN] * 3
    assert {f.payload["reason"] for f in world.of(name, FactKind.PREVIEW_REMOVED)} == {
        "Retired: its rollout ended more than 30 days ago."
    }
    assert world.postbox.mails == []
    assert not world.record(name).is_withdrawn
    assert world.night() == [], "nothing is left to do"


def test_retirement_harms_no_newer_preview_that_shares_its_files(world: World) -> None:
    old = world.out(SMALL, "1.0")
    world.ends(old)
    world.clock += timedelta(days=20)
    new = world.out(NEXT, "1.1", patch=4712)
    assert world.of(new, FactKind.PREVIEW_INSTALLED)[0].payload["how"] == "delta"

    assert world.night(timedelta(days=15)) == [old]

    assert world.at_sites(old) == ""
    assert [world.looks(new, site) for site in "ABC"] == ["intact"] * 3
    assert world.tags_at(new) == "ABC"


def test_a_patch_that_was_started_again_keeps_tag_and_files_when_its_first_rollout_is_retired(world: World) -> None:
    first = world.out(SMALL, "1.0")
    world.ends(first, "stopped")
    second = world.out(world.artefacts.tarballs[world.tarball(first)], "1.0")

    assert world.night(timedelta(days=31)) == [first]

    assert (world.at_sites(second), world.tags_at(second)) == ("ABC", "ABC")
    assert {f.payload["kept_for"] for f in world.of(first, FactKind.PREVIEW_REMOVED)} == {second}
    assert world.states(first) == [SiteState.WITHDRAWN] * 3
    assert world.states(second) == [SiteState.AVAILABLE] * 3
    world.ends(second)
    assert world.night(timedelta(days=31)) == [second]
    assert world.at_sites(second) == ""


def test_what_another_rollout_offers_cannot_be_withdrawn_under_its_old_name(world: World) -> None:
    first = world.out(SMALL, "1.0")
    world.ends(first, "stopped")
    second = world.out(world.artefacts.tarballs[world.tarball(first)], "1.0")
    with pytest.raises(RefusedError, match=f"{second} offers the very same preview"):
        world.asks(first)
    world.withdraws(second)
    assert world.at_sites(first) == ""


def test_a_wait_is_one_of_the_table_and_asks_at_the_interval_of_the_policies(world: World) -> None:
    with pytest.raises(ValueError, match="is none of"):
        WaitUntil(task_id="a", wait="tags_are_green", arguments={"rollout": "r"})
    assert is_over(world.services, "retired_tags_are_gone", rollouts=[])
    for wait in ("tags_are_gone", "retired_tags_are_gone"):
        assert WAITS[wait].every(world.services.config.policies) == timedelta(seconds=30)


@pytest.mark.needs("openssh")
def test_over_ssh_with_one_site_that_is_not_there(
    world: World, sshd: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = OpenSshShell()
    targets = {name: sshd.target(name) for name in world.sites}
    world.services.__dict__["shell"] = world.shell = shell  # type: ignore[assignment]
    monkeypatch.setattr(world, "targets", lambda sites=(): targets)
    monkeypatch.setattr("pps.orchestration.steps.clients._targets", lambda sites: targets)
    old = world.out(SMALL, "1.0")
    new = world.out(NEXT, "1.1", patch=4712)
    targets["C"] = sshd.target("C", port=1)

    world.withdraws(old, wait=timedelta(minutes=21))

    assert (world.at_sites(old), world.tags_at(old)) == ("C", "C")
    assert (world.at_sites(new), world.tags_at(new)) == ("ABC", "ABC")
    targets["C"] = sshd.target("C")
    world.night()
    assert (world.at_sites(old), world.tags_at(old)) == ("", "")
    assert [world.looks(new, site) for site in "ABC"] == ["intact"] * 3
