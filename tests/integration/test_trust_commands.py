"""`pps trust` and `pps sites kit`: from keys of people to a site that follows what they signed, and to other keys."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.front import site as site_entry
from tests.support.front import write_config
from tests.support.previews import SMALL, artefacts_in
from typer.testing import CliRunner, Result

from pps.cli.main import app
from pps.domain.sites.site import Scheme
from pps.domain.trust.keys import Root
from pps.domain.trust.signed import Signed, envelope, opened
from pps.sandbox.kit.site import KitSite, People, now

pytestmark = pytest.mark.needs("openssh", "openssl")


def pps(*words: object, answer: str = "", good: bool = True) -> Result:
    done = CliRunner().invoke(app, [str(w) for w in words], input=answer)
    assert (done.exit_code == 0) is good, done.output
    return done


@pytest.fixture(params=list(Scheme))
def people(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    people = People(tmp_path / "keys", request.param)
    for name in ("a", "b", "c", "rm", "co", "online", "rm2", "thief"):
        private = people.key_file(name)
        if people.scheme is Scheme.OPENSSL:
            command = ["openssl", "pkey", "-in", str(private), "-pubout", "-out", f"{private}.pub"]
            subprocess.run(command, check=True, capture_output=True)
    monkeypatch.chdir(people.folder)
    return people


def first_keys(people: People) -> Path:
    pps("trust", "keys", "--scheme", people.scheme, "--root", "a=alpha=a.pub", "--root", "b=beta=b.pub",
        "--root", "c=gamma=c.pub", "--signer", "rm=release-manager=delta=rm.pub",
        "--signer", "co=pps-coordinator=epsilon=co.pub",
        "--current", "online=online.pub", "--out", "root.1")  # fmt: skip
    return Path("root.1")


def test_keys_are_in_force_when_two_who_hold_root_keys_have_signed(people: People) -> None:
    keys = first_keys(people)

    assert "Two people must sign" in pps("trust", "verify", keys, good=False).output
    said = pps("trust", "sign", keys, "--as", "a", "--key", "a", answer="y\n").output
    assert "alpha, root key: a " in said
    assert "Two people must sign" in said
    # somebody else's key, or a name that is not theirs, is no signature, and nothing is written
    before = keys.read_text()
    assert "does not hold" in pps("trust", "sign", keys, "--as", "b", "--key", "c", "--yes", good=False).stderr
    assert pps("trust", "sign", keys, "--as", "b", "--key", "b", answer="n\n", good=False)
    assert keys.read_text() == before
    assert "That is enough" in pps("trust", "sign", keys, "--as", "b", "--key", "b", "--yes").output
    assert json.loads(pps("trust", "verify", keys, "--json").output)["signed_by"] == ["a", "b"]


def test_a_site_follows_its_kit_through_a_rotation_and_a_theft(people: People, tmp_path: Path) -> None:
    """The drills of docs/keys.md, with the commands that stand there."""
    keys = first_keys(people)
    for name in ("a", "b"):
        pps("trust", "sign", keys, "--as", name, "--key", name, "--yes")
    write_config(tmp_path / "config", [site_entry("SITE-K")])
    controller = Path("online.pub") if people.scheme is Scheme.SSH else _ssh_key(people)
    made = pps("--config", tmp_path / "config", "site", "kit", "SITE-K", "--keys", keys, "--key", controller,
               "--product", "client", "--out", tmp_path / "kit.tar", "--json")  # fmt: skip
    with tarfile.open(tmp_path / "kit.tar") as tar:
        names = tar.getnames()
    assert {"pps-kit/README", "pps-kit/bin/pps-keep", "pps-kit/etc/root"} <= set(names)
    assert sorted(json.loads(made.output)["files"]) == sorted(n.removeprefix("pps-kit/") for n in names)

    store = artefacts_in(tmp_path / "store")
    tarball = store.make(SMALL, "1.0")
    site = KitSite(tmp_path / "site", people, store)
    site.unpack()
    (site.folder / "kit/etc/root").write_text(opened(keys.read_text())[0].document)

    statement = site.statement(tarball)
    Path("statement").write_text(envelope([replace(site.signed(statement, "rm"), signatures=())]))
    for name in ("rm", "co"):
        pps("trust", "sign", "statement", "--as", name, "--key", name, "--keys", keys, "--yes")
    signed = opened(Path("statement").read_text())[0]
    current = site.current(statement)
    assert site.put([current, signed], site.payload(tarball))[-1].startswith("PPS-INSTALLED")

    # the Release Manager's key is stolen: two others make the next list, each on a machine of their own
    said = pps("trust", "keys", "--after", keys, "--revoke", "rm.pub", "--signer", "rm2=release-manager=delta=rm2.pub",
               "--out", "root.2").output  # fmt: skip
    assert "gone: rm of delta" in said
    assert "rm2" in said
    for name in ("b", "c"):
        pps("trust", "sign", "root.2", "--as", name, "--key", name, "--keys", keys, "--yes")
    pps("trust", "verify", "root.2", "--keys", keys)
    site.statements.append(statement)
    following = site.statement(tarball)
    stolen = site.people.signed(following.text, "rm", "co")
    said = pps("trust", "verify", _file("stolen", stolen), "--keys", "root.2", good=False).output
    assert "rm is not among those who may sign this." in said
    other = opened(Path("root.2").read_text())[0]
    later = site.current(following, issued=now().replace(second=59), root=2)
    assert site.put([other, later, stolen])[-1].startswith("PPS-REFUSE signatures")
    assert Root.parse(other.document).number == 2
    renewed = site.people.signed(following.text, "rm2", "co")
    assert site.put([other, renewed], site.payload(tarball))[-1] == "PPS-ALREADY list"


def _file(name: str, signed: Signed) -> Path:
    Path(name).write_text(envelope([signed]))
    return Path(name)


def _ssh_key(people: People) -> Path:
    return People(people.folder / "ssh", Scheme.SSH).key_file("controller").with_suffix(".pub")


def test_what_makes_no_sense_is_said(people: People) -> None:
    first_keys(people)

    for words, says in (
        (["keys", "--after", "root.1", "--out", "root.1"], "It is there already."),
        (["keys", "--after", "root.1", "--drop", "nobody", "--out", "x"], "nobody is not in"),
        (["keys", "--after", "root.1", "--drop", "rm", "--out", "x"], "Nobody can sign as release-manager"),
        (["keys", "--root", "a=alpha", "--out", "x"], "It is not 3 parts"),
        # what a site's kit would not read is not written
        (["keys", "--after", "root.1", "--root", "d=Alice Smith=thief.pub", "--out", "x"], "no name in a list of keys"),
        (["keys", "--after", "root.1", "--signer", "d=release-manger=delta=thief.pub", "--out", "x"], "is none of"),
        (["keys", "--after", "root.1", "--root", "d=delta=.", "--out", "x"], "cannot be read"),
        (["verify", _file("list", people.signed("pps-current 1\n", namespace="pps-current"))], "Name them: --keys"),
        (["show", _file("noise", Signed("hello\n"))], "no statement"),
    ):
        assert says in " ".join(pps("trust", *words, good=False).stderr.split())
    assert not Path("x").exists()


def test_a_kit_that_could_not_work_is_not_made(people: People, tmp_path: Path) -> None:
    keys = first_keys(people)
    write_config(tmp_path / "config", [site_entry("SITE-K")])
    make = ["--config", tmp_path / "config", "sites", "kit", "SITE-K", "--keys", keys, "--product", "client"]
    out = ["--out", tmp_path / "kit.tar"]
    assert "Two people must sign" in pps(*make, "--key", _ssh_key(people), *out, good=False).stderr
    for name in ("a", "b"):
        pps("trust", "sign", keys, "--as", name, "--key", name, "--yes")
    for more, says in (
        (["--key", "."], "cannot be read"),
        (["--key", keys], "holds no public key"),
        (["--key", _ssh_key(people), "--from", "192.0.2.1/24"], "Write it like 192.0.2.0/24"),
        (["--key", _ssh_key(people), "--from", '10.0.0.0/8",command="sh'], "Write it like"),
        (["--key", _ssh_key(people), "--vo", "a b"], "is not a name"),
        (["--key", _ssh_key(people), "--switch", "su"], "neither sudo nor none"),
    ):
        assert says in " ".join(pps(*make, *more, *out, good=False).stderr.split()), more
    assert not (tmp_path / "kit.tar").exists()
