"""From the plan to what a kit does: it follows what two people have signed on record, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from tests.support.desks import front
from tests.support.examples import PATCH, opened, sqlite_store, templates
from tests.support.front import ROLLOUT, MemoryServices, MemoryTracker, site, write_config
from tests.support.previews import SMALL, Tree, artefacts_in
from tests.support.withdrawals import Postbox
from tests.unit.cli.pilots.test_pilot_doors import Through
from tests.unit.web.test_late_answers import airflow_user
from typer.testing import CliRunner

from pps.activities.clients import signing
from pps.activities.clients.withdrawal import close_withdrawn
from pps.activities.packages.payloads import prepare_payload
from pps.activities.people import asking
from pps.activities.ports.packages import Tarball
from pps.activities.ports.sites import SiteLimits, SshTarget
from pps.activities.sites.diagnosis import Health
from pps.activities.sites.receiver import receiver_script
from pps.activities.trust import statements
from pps.activities.trust.kit_shell import KitShell
from pps.activities.trust.words import contents
from pps.adapters.record.store import FactStore
from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.cli.doctor_kits import kit_findings
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError, RefusedError, SiteError, TamperedError
from pps.domain.packages.patch import Patch
from pps.domain.people.questions import Given
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.statements import RECORD, Offered
from pps.domain.sites.site import Scheme
from pps.domain.trust.keys import Root
from pps.domain.trust.signed import Signature, Signed, envelope
from pps.sandbox.kit.site import PLATFORM, KitSite, People, now
from pps.web.app import create_app
from pps.workflow.answers import Place, reasons_against
from pps.workflow.desk import FrontDesk, FrontOffice
from pps.workflow.form_book import FORMS
from pps.workflow.forms import put

pytestmark = pytest.mark.needs("openssh", "openssl")
MANAGER, COORDINATOR = "Release Manager", "PPS Coordinator"
FORM, WITHDRAWAL = FORMS[signing.PREVIEW], FORMS[signing.WITHDRAWAL]


class Centre:
    """An installation with one site that has a kit, and those who sign."""

    def __init__(self, folder: Path, scheme: Scheme) -> None:
        self.people = People(folder / "keys", scheme)
        self.artefacts = artefacts_in(folder / "artefacts")
        self.kit = KitSite(folder / "site", self.people, self.artefacts)
        self.kit.unpack()
        self.folder = folder
        config = write_config(folder / "config", [site("SITE-K", kit=str(scheme)), site("PLAIN")])
        (folder / "config" / "root.1").write_text(
            envelope([self.people.signed(self.people.root().text, "root-1", "root-2", namespace="pps-root")])
        )
        kits = {str(scheme): {"keys": ["root.1"], "current_key_file": str(self.people.key_file("online"))}}
        sites = yaml.safe_load((folder / "config" / "sites.yaml").read_text())
        (folder / "config" / "sites.yaml").write_text(yaml.safe_dump(sites | {"kits": kits}))
        self.store: FactStore = sqlite_store(folder)
        given: dict[str, Any] = {
            "facts": self.store,
            "tracker": MemoryTracker(PATCH),
            "templates": templates(),
            "artefacts": self.artefacts,
            "clock": now,
            "mailer": Postbox(),
        }
        self.services = MemoryServices(type(config)(config.folder), lambda _: None, given)
        self.previews: dict[str, Tarball] = {}

    def rollout(self, number: int, version: str, tree: Tree = SMALL) -> FrontDesk:
        """A rollout whose tarball is built, and offered to be signed."""
        record = opened(self.store, self.patch(number, version), now(), run=f"r/{number}")
        self.previews[record.name] = self.artefacts.make(tree, version)
        return self.offer(record)

    def patch(self, number: int, version: str) -> Patch:
        return replace(PATCH, number=number)

    def offer(self, record: Rollout | str) -> FrontDesk:
        d = front(self.services, record)
        tarball = self.previews[d.name]
        manifest = self.kit.manifest(tarball)
        packed = prepare_payload(tarball, manifest, None, self.artefacts, self.folder / "cache").stat().st_size
        statements.offer_installation(d, tarball, manifest, {PLATFORM}, packed=packed, holds_for=timedelta(days=90))
        return d

    def answer(self, d: FrontDesk, role: str, *names: str, form: Any = FORM, text: str = "") -> None:
        """Answer as the human step does."""
        wanted = [it.statement.text for it in statements.offered_for(self.store, d.name)]
        sent = text or envelope(self.people.signed(document, *names) for document in wanted)
        d.record(*form.follow(d, role, Given(signing.SIGNED, {"signatures": sent}, role.lower(), d.now)))

    def sign(self, d: FrontDesk, form: Any = FORM) -> None:
        self.answer(d, MANAGER, "rm", form=form)
        self.answer(d, COORDINATOR, "coordinator", form=form)

    def command_line(self, who: str) -> Front:
        """`pps` of somebody who has signed in, at an api-server with our application."""
        made = Front(self.services, now=now, pause=lambda _: None)
        web = TestClient(create_app(lambda: self.services, airflow_user, now), base_url="https://pps.example.org")
        made.__dict__["airflow"] = Airflow(web=web, who=who, centre=self)
        return made

    def renew_keys(self) -> None:
        """The Release Manager's key is lost, and another one is in force."""
        folder = self.services.config.folder
        signers = (self.people.signer("rm2", "release-manager"), self.people.root().signers[1])
        second = self.people.root(2, signers=signers, revoked=(self.people.key("rm"),))
        (folder / "root.2").write_text(
            envelope([self.people.signed(second.text, "root-1", "root-3", namespace="pps-root")])
        )
        sites = yaml.safe_load((folder / "sites.yaml").read_text())
        sites["kits"][str(self.people.scheme)]["keys"] = ["root.1", "root.2"]
        (folder / "sites.yaml").write_text(yaml.safe_dump(sites))
        self.services = MemoryServices(type(self.services.config)(folder), lambda _: None, self.services.given)

    def papers(self) -> Any:
        shell = MemoryServices(
            self.services.config, lambda _: None, {"facts": self.store, "artefacts": self.artefacts}
        ).shell
        assert isinstance(shell, KitShell)
        assert set(shell.papers) == {"SITE-K"}, "a site without a kit is reached as ever"
        return shell.papers["SITE-K"]

    def put(self, papers: str, preview: Tarball) -> list[str]:
        """What the kit says to it."""
        came = papers.encode()
        return self.kit.ask("put", str(len(came)), "list", "60", stdin=came + b"full\n" + self.kit.payload(preview))

    def has(self, preview: Tarball) -> bool:
        return (self.kit.root / preview.name).is_dir()


@dataclass
class Airflow(Through):
    """Beside that, its human tasks: an answer is taken as the human step takes it."""

    centre: Centre | None = None

    def answer(self, question: AirflowQuestion, options: Any, params: Any = None) -> datetime:
        super().answer(question, options, params)
        assert self.centre is not None
        d, role = front(self.centre.services, ROLLOUT), self.who.partition(":")[2]
        given = Given(options[0], dict(params), self.who.partition(":")[0], now())
        more = FORM.follow(d, role, given)
        asking.keep_answer(d, given, step=FORM.step, subject=role, more=more)
        return given.at


@pytest.fixture(params=list(Scheme))
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Centre]:
    yield Centre(tmp_path, request.param)


def newest(centre: Centre, d: FrontDesk) -> Offered:
    return statements.offered_for(centre.store, d.name)[-1]


def test_both_are_asked_in_words_and_what_both_have_signed_is_followed(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    preview = centre.previews[d.name]
    asked = {role: FORM.prepare(d, role) for role in (MANAGER, COORDINATOR)}
    assert [a.assigned_to for a in asked.values()] == [("role:Release Manager",), ("role:PPS Coordinator",)]
    assert f"to install and announce {preview.name}" in asked[MANAGER].body
    assert f"pps sign {d.name} --as" in asked[MANAGER].body
    assert "SITE-K" in asked[MANAGER].body
    assert "PLAIN" not in asked[MANAGER].body

    assert centre.papers().to_install(preview.name) is None, "nobody has signed"
    centre.answer(d, MANAGER, "rm")
    assert FORM.prepare(d, MANAGER) is None, "asked once"
    assert centre.papers().to_install(preview.name) is None, "one person"
    centre.answer(d, COORDINATOR, "coordinator")
    papers = centre.papers()
    assert (papers.what_is(preview.name), papers.what_has(d.rollout.opened["tag"])) == (centre.kit.what,) * 2
    assert centre.put(papers.to_install(preview.name), preview)[-1].startswith("PPS-INSTALLED")
    assert centre.has(preview)


def test_whoever_is_asked_again_or_repeats_a_task_offers_and_signs_nothing_twice(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    centre.sign(d)
    known = centre.store.rollout(RECORD).facts
    centre.offer(d.name)
    centre.services.given["facts"].record(*known)
    assert centre.store.rollout(RECORD).facts == known
    assert [f.kind for f in known[1:]] == [FactKind.STATEMENT_OFFERED, *[FactKind.STATEMENT_SIGNED] * 2]


def test_what_is_handed_in_and_does_not_hold_comes_back_with_the_reason(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    text = newest(centre, d).statement.text
    people = centre.people
    other = text.replace("files ", "files 1")
    for role, sent, why in (
        (MANAGER, "I agree.", "nothing that pps sign has written: line 1 is neither a document"),
        (MANAGER, envelope([Signed(text)]), "Nobody has signed it as release-manager"),
        (MANAGER, envelope([people.signed(text, "coordinator")]), "signs as pps-coordinator, not as release-manager"),
        (COORDINATOR, envelope([people.signed(text, "thief")]), "thief is not among those who may sign this"),
        (MANAGER, envelope([Signed(text, people.signed(other, "rm").signatures)]), "does not hold"),
        (MANAGER, envelope([people.signed(other, "rm")]), "holds a document that is none of those"),
    ):
        with pytest.raises(RefusedError, match=why):
            centre.answer(d, role, text=sent)
    if people.scheme is Scheme.SSH:  # openssl signs bytes alone, whose first line says what they are
        with pytest.raises(RefusedError, match="does not hold"):
            centre.answer(d, MANAGER, text=envelope([people.signed(text, "rm", namespace="pps-current")]))
    with pytest.raises(RefusedError, match="do not say why"):
        FORM.follow(d, MANAGER, Given(signing.NOT_SIGNED, {}, "rm", d.now))
    assert not centre.store.facts_of_kind([FactKind.STATEMENT_SIGNED])


def test_beside_the_question_signatures_are_taken_of_those_with_the_role_alone(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    text = newest(centre, d).statement.text
    s = centre.services

    def hand_in(name: str, *mine: str) -> Any:
        sent = envelope([centre.people.signed(text, name)])
        return signing.sign(d, sent, "grace", [f"role:{r}" for r in mine], s.keys_in_force, s.check_signatures)

    with pytest.raises(RefusedError, match="Only a Release Manager or a PPS Coordinator"):
        hand_in("rm", "Site Administrator")
    with pytest.raises(RefusedError, match="signs as release-manager, not as pps-coordinator"):
        hand_in("rm", COORDINATOR)
    first = hand_in("rm", MANAGER)
    assert (first.payload["signer"], first.payload["user"]) == ("rm", "grace")
    if centre.people.scheme is Scheme.OPENSSL:  # the same bytes, each time
        assert hand_in("rm", MANAGER) == first


def test_a_withdrawal_is_signed_as_well_and_then_followed(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    preview = centre.previews[d.name]
    centre.sign(d)
    centre.put(centre.papers().to_install(preview.name), preview)
    d.record(d.fact(FactKind.WITHDRAWAL_ASKED, payload={"reason": "It breaks."}))
    with pytest.raises(NotYetAllowedError, match="It breaks"):
        centre.offer(d.name)

    statements.offer_withdrawal(d, holds_for=timedelta(days=90))
    assert FORM.prepare(d, MANAGER) is None
    assert "remove, and announce no longer" in WITHDRAWAL.prepare(d, MANAGER).body
    assert centre.papers().to_remove(preview.name) is None
    # until both have signed it, what they have signed before is in force
    assert centre.papers().to_install(preview.name)
    centre.sign(d, WITHDRAWAL)
    papers = centre.papers()
    assert papers.to_install(preview.name) is None
    assert centre.put(papers.to_remove(preview.name), preview)[-1].startswith("PPS-REMOVED")
    assert not centre.has(preview)


def test_a_withdrawal_that_has_ended_still_waits_for_those_who_sign_it(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    centre.sign(d)
    d.record(d.fact(FactKind.WITHDRAWAL_ASKED, payload={"reason": "It breaks."}), d.fact(FactKind.TAGS_GONE))
    statements.offer_withdrawal(d, holds_for=timedelta(days=90))
    close_withdrawn(d)
    for role in (MANAGER, COORDINATOR):
        place = Place("withdraw_rollout", "r", f"withdrawal.{role}")
        put(d, WITHDRAWAL, role, WITHDRAWAL.prepare(d, role), place.link("https://pps.example.org"))

    def waiting(after: timedelta = timedelta(0)) -> list[tuple[str, str]]:
        found = asking.open_questions(centre.store, d.now + after)
        return [(record.name, asked.subject) for record, asked in found]

    assert waiting() == [(d.name, MANAGER), (d.name, COORDINATOR)]
    asking.keep_answer(d, Given(signing.SIGNED, {}, "grace", d.now), step=signing.WITHDRAWAL, subject=MANAGER)
    assert waiting() == [(d.name, COORDINATOR)]
    assert waiting(timedelta(days=31)) == []


def test_what_is_no_signature_is_refused_at_the_door_also_for_a_withdrawal(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")

    def refused(step: str, place: Place, form: Any) -> None:
        put(d, form, MANAGER, form.prepare(d, MANAGER), place.link("https://pps.example.org"))
        office = FrontOffice.of(centre.services, now, "test")
        (offered,) = statements.offered_for(centre.store, d.name)
        for names, is_good in ((("rm",), True), (("coordinator",), False), ((), False)):
            sent = envelope([centre.people.signed(offered.statement.text, *names)]) if names else "None."
            given = Given(signing.SIGNED, {"signatures": sent}, "rita", office.now)
            before = list(centre.store.facts_of_kind(list(FactKind)))
            assert (reasons_against(office, place, given) == ()) is is_good, (step, names)
            assert list(centre.store.facts_of_kind(list(FactKind))) == before

    refused("preview", Place("r", "4711", "signatures.sign_as_release_manager"), FORM)
    centre.sign(d)
    d.record(d.fact(FactKind.WITHDRAWAL_ASKED, payload={"reason": "It breaks."}))
    statements.offer_withdrawal(d, holds_for=timedelta(days=90))
    refused("withdrawal", Place("withdraw_rollout", "r2", "withdrawal.sign_as_release_manager"), WITHDRAWAL)


def test_the_newer_preview_of_a_product_counts_and_going_back_is_signed_anew(centre: Centre) -> None:
    old, new = centre.rollout(4711, "1.0"), centre.rollout(4712, "2.0")
    for d in (new, old):
        if d is new:
            centre.sign(d)
    assert statements.offered_for(centre.store, old.name) == (), "another has followed: nobody signs it any more"
    centre.offer(old.name)
    assert statements.offered_for(centre.store, old.name) == (), "and a task that is repeated does not undo that"

    new.record(new.fact(FactKind.WITHDRAWAL_ASKED, payload={"reason": "It breaks."}))
    statements.offer_withdrawal(new, holds_for=timedelta(days=90))
    centre.sign(new, WITHDRAWAL)
    centre.offer(old.name)
    assert newest(centre, old).statement.sequence == 4
    centre.sign(old)
    preview = centre.previews[old.name]
    assert centre.put(centre.papers().to_install(preview.name), preview)[-1].startswith("PPS-INSTALLED")


def test_a_key_that_is_revoked_counts_for_nothing_that_it_has_signed(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    centre.sign(d)
    centre.renew_keys()
    d = front(centre.services, d.name)
    preview = centre.previews[d.name]
    assert centre.papers().to_install(preview.name) is None
    assert FORM.prepare(d, MANAGER) is not None, "asked again, for the new key"
    assert FORM.prepare(d, COORDINATOR) is None


def test_doctor_finds_a_list_of_keys_that_no_site_would_take(centre: Centre) -> None:
    centre.renew_keys()

    def found() -> list[tuple[Health, str]]:
        here = Front(centre.services, now=now, pause=lambda _: None)
        return [(f.health, f.text) for f in kit_findings(here, [], SiteLimits(), 5)]

    assert found() == [(Health.OK, "keys number 2 are in force, each list signed by two of the one before.")]
    second = centre.services.config.folder / "root.2"
    text = centre.people.root(2).text
    for names in (("root-1",), ("root-1", "rm"), ("root-1", "root-1")):
        second.write_text(envelope([centre.people.signed(text, *names, namespace="pps-root")]))
        centre.services = MemoryServices(
            type(centre.services.config)(second.parent), lambda _: None, centre.services.given
        )
        ((health, why),) = found()
        assert (health, "no site takes the list of keys number 2" in why) == (Health.FAIL, True), names


def test_the_heads_on_record_are_those_that_sites_follow(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    centre.sign(d)
    preview = centre.previews[d.name]
    centre.put(centre.papers().to_install(preview.name), preview)
    (said,) = [line.split() for line in centre.kit.ask("state") if line.startswith("PPS-PRODUCT ")]
    assert statements.heads(centre.store) == {(said[1], int(said[2])): said[3]}


def test_lists_of_keys_out_of_order_are_said_at_the_start(centre: Centre) -> None:
    folder = centre.services.config.folder
    sites = yaml.safe_load((folder / "sites.yaml").read_text())
    sites["kits"][str(centre.people.scheme)]["keys"] = ["root.1", "root.1"]
    (folder / "sites.yaml").write_text(yaml.safe_dump(sites))
    with pytest.raises(ConfigurationError, match="has the number 1; 2 is expected at its place"):
        MemoryServices(type(centre.services.config)(folder), lambda _: None, {}).key_lists  # noqa: B018


def test_what_is_shown_to_those_who_sign_was_compared_with_the_statement(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    statement = newest(centre, d).statement
    manifest = signing.manifest_text(statement.preview, centre.artefacts)
    contents(statement, manifest)
    with pytest.raises(TamperedError, match="Do not sign"):
        contents(statement, manifest + "# package middleware evil 1 all " + "0" * 64 + "\n")


def pps_sign(centre: Centre, here: Front, rollout: str, name: str, *more: str) -> Any:
    keys = centre.services.config.folder / "root.1"
    words = ["sign", rollout, "--as", name, "--key", str(centre.people.key_file(name)), "--keys", str(keys), *more]
    return CliRunner().invoke(app, words, obj=here)


def test_pps_sign_shows_what_is_signed_and_answers_the_question_or_hands_in_beside_it(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    preview = centre.previews[d.name]
    manager, coordinator = centre.command_line(f"rita:{MANAGER}"), centre.command_line(f"carla:{COORDINATOR}")
    place = Place("r", "4711", "signatures.sign_as_coordinator")
    put(d, FORM, COORDINATOR, FORM.prepare(d, COORDINATOR), place.link("https://pps.example.org"))
    coordinator.airflow.asked.append(  # type: ignore[attr-defined]
        AirflowQuestion(place.dag, place.run, place.task, -1, "Please sign", FORM.options)
    )

    looked = pps_sign(centre, manager, d.name, "rm", "--dry-run")
    assert (looked.exit_code, "SITE-K (by the registry)" in looked.output) == (0, True), looked.output
    assert not centre.store.facts_of_kind([FactKind.STATEMENT_SIGNED])
    late = pps_sign(centre, manager, d.name, "rm", "--yes")
    assert f"to install and announce {preview.name}" in " ".join(late.output.split())
    assert "On record: signed by rm as release-manager." in late.output
    assert "signed by rm (release-manager)" in " ".join(late.output.split()), "and it says what is missing"
    done = pps_sign(centre, coordinator, d.name, "coordinator", "--yes")
    assert "The answer was taken." in done.output, done.output
    assert "It has all the signatures that sites want." in done.output
    assert centre.papers().to_install(preview.name)


def test_pps_sign_signs_nothing_that_is_not_what_it_shows_and_nothing_for_others(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = centre.rollout(4711, "1.0")
    manager = centre.command_line(f"rita:{MANAGER}")
    for name, who, why in (
        ("rm", "ana:Site Administrator", "Only a Release Manager or a PPS Coordinator"),
        ("coordinator", f"rita:{MANAGER}", "signs as pps-coordinator, not as release-manager"),
        ("thief", f"rita:{MANAGER}", "thief is not among those who may sign this"),
    ):
        refused = pps_sign(centre, centre.command_line(who), d.name, name, "--yes")
        said = " ".join(refused.output.split())
        assert (refused.exit_code, why in said) == (1, True), said
    # a centre that says that it follows another statement, or shows other packages
    first = newest(centre, d).statement
    manifest = centre.artefacts.local(centre.previews[d.name].name, "MANIFEST")
    for key, lie, why in (
        ("before", replace(first, sequence=7).text, "follows another statement than the one that came with it"),
        ("manifest", manifest.read_text().replace("# client client", "# client other"), "another MANIFEST than its"),
    ):
        said = manager.get(f"rollouts/{d.name}/statements", {}, about="x")
        said["statements"][0][key] = lie
        with monkeypatch.context() as lying:
            lying.setattr(Front, "get", lambda *_, said=said, **__: said)
            lied = pps_sign(centre, manager, d.name, "rm", "--yes")
        assert (lied.exit_code, why in " ".join(lied.output.split())) == (1, True), lied.output
    # and what was changed in the centre's own store is not even shown
    manifest.write_text(lie)
    assert pps_sign(centre, manager, d.name, "rm", "--yes").exit_code == 1
    assert not centre.store.facts_of_kind([FactKind.STATEMENT_SIGNED])


def test_the_log_has_each_statement_with_its_signatures_for_anybody_and_changes_with_either(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    anybody = TestClient(create_app(lambda: centre.services, airflow_user, now), base_url="https://pps.example.org")
    first = anybody.get("/log.json")
    centre.sign(d)
    assert anybody.get("/log.json", headers={"If-None-Match": first.headers["etag"]}).status_code == 200
    said = anybody.get("/log.json")
    (entry,), (keys,) = said.json()["statements"], said.json()["keys"].values()
    (signed,) = [
        Signed(entry["document"], tuple(Signature(name, text) for name, text in of.items()))
        for of in entry["signatures"].values()
    ]
    hold, not_so = centre.services.check_signatures(signed, Root.parse(keys[-1]))
    assert ({s.name for s in hold}, not_so) == ({"rm", "coordinator"}, ())
    same = anybody.get("/log.json", headers={"If-None-Match": said.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    centre.renew_keys()
    other = TestClient(create_app(lambda: centre.services, airflow_user, now), base_url="https://pps.example.org")
    assert other.get("/log.json", headers={"If-None-Match": said.headers["etag"]}).status_code == 200, "other keys"


def test_what_is_wrong_with_kits_is_a_matter_of_the_sites_that_have_one(centre: Centre) -> None:
    d = centre.rollout(4711, "1.0")
    centre.sign(d)
    (centre.services.config.folder / "root.1").unlink()
    broken = MemoryServices(centre.services.config, lambda _: None, {"facts": centre.store})
    assert isinstance(broken.shell, KitShell), "others are reached"
    target = SshTarget("SITE-K", "127.0.0.1", 1, "pps", "ssh-ed25519 AAAA")
    limits = SiteLimits(1, 1, 1)

    async def install() -> None:
        name = centre.previews[d.name].name
        words = ("install", name, "0" * 64, "/p", "/g", "/e", "9", "list", "names")
        async with broken.shell.open(target, receiver_script(), words, limits):
            pass

    with pytest.raises(SiteError, match=r"has a kit\. sites\.yaml, kits: root\.1: cannot be read"):
        asyncio.run(install())
