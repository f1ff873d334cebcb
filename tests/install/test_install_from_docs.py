"""docs/production.md is followed to the letter on a clean Debian: its blocks marked `sh run`, as they stand, in order.

Between the blocks the test does what the text says: it brings the checkout, names the sites, puts a certificate. Eight
sites with a real sshd each, information system, tracker, mail and the provider's packages are the sandbox's, in the
machine's own network.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.broker import program as broker
from tests.support.debian_machine import DebianMachine, debian_machine, short_folder
from tests.support.sshd import public_key

from pps.sandbox.grid.smtp import kept_mails, read_mail

pytestmark = [pytest.mark.install, pytest.mark.needs("debian-machine", "openssh", "clean-root")]
CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs" / "production.md"
SITES = 8
FIRST_PORT = 2201
#: Blocks with one of these fetch packages; all others work without any network but the machine's own.
FETCHES = ("apt-get", "bin/setup")
LINK = re.compile(r"https://pps\.example\.org/pps/feedback/[^\s?/]+\?vo=[^\s&]+&token=[A-Za-z0-9_.-]+")
PYTHON = {"PYTHONPATH": f"{CHECKOUT / 'plugins'}:{CHECKOUT}"}


def blocks(kind: str = "run") -> list[str]:
    """The commands of the documentation."""
    return re.findall(rf"^```sh {kind}\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)


@dataclass
class Installing:
    """Whoever follows the documentation."""

    machine: DebianMachine
    folder: Path
    ends: ExitStack
    said: list[str] = field(default_factory=list)

    @property
    def grid(self) -> Path:
        return self.folder / "grid"

    def runs(self, script: str) -> str:
        began = time.monotonic()
        network = any(word in script for word in FETCHES)
        done = self.machine.run(script, network=network)
        print(
            f"--- {time.monotonic() - began:.0f} s, exit code {done.returncode}\n{script}{done.stdout[-3000:]}",
            flush=True,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-6000:]}\n{self.journal()}"
        self.said.append(done.stdout)
        return done.stdout

    def is_content(self, script: str) -> bool:
        """Whether the doctor has nothing against it; at first it may have."""
        done = self.machine.run(script)
        print(f"--- exit code {done.returncode}\n{script}{done.stdout[-9000:]}", flush=True)
        said = " ".join(done.stdout.split())
        assert (", 0 failures." in said) == (done.returncode == 0), said
        self.said.append(done.stdout)
        return done.returncode == 0

    def journal(self) -> str:
        """What the services said, for whoever looks into a failure."""
        return self.machine.run("journalctl --no-pager -n 120 -o cat -u 'pps-*' -u postgresql* || true").stdout[-8000:]

    def waits_for(self, what: str, look: Callable[[], bool], within_s: float = 400) -> None:
        until = time.monotonic() + within_s
        while not look():
            assert time.monotonic() < until, f"{what}: not within {within_s} s\n{self.journal()}"
            time.sleep(1)

    # --- what the text says between the blocks

    def brings_the_checkout(self) -> None:
        target = self.machine.root / "opt/pps/rollout"
        target.mkdir(parents=True)
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=CHECKOUT,
            check=True,
            capture_output=True,
        ).stdout
        pack = [
            "tar",
            "--null",
            "--ignore-failed-read",
            "--owner=0",
            "--group=0",
            "--mode=u=rwX,go=rX",
            "-cf",
            "-",
            "-T",
            "-",
        ]
        packed = subprocess.run(pack, cwd=CHECKOUT, input=names, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-xf", "-", "-C", str(target)], input=packed, check=True)

    def names_its_sites(self) -> None:
        """In the files of the example: its own sites, people and services; they let its key in."""
        self._starts_the_world()
        theirs = self.grid / "config"
        etc = self.machine.root / "etc/pps"
        service = yaml.safe_load((theirs / "service.yaml").read_text())
        mine = ("bdii_url", "smtp_host", "smtp_port", "smtp_security", "package_keys")
        self._edit("service.yaml", {name: service[name] for name in mine})
        sites = yaml.safe_load((theirs / "sites.yaml").read_text())["sites"]
        for number, site in enumerate(sites):
            site["ssh"] |= {"port": FIRST_PORT + number, "user": "root"}
        self._edit("sites.yaml", {"sites": sites})
        people = yaml.safe_load((theirs / "people.yaml").read_text())
        self._edit("people.yaml", {name: people[name] for name in ("vos", "rocs", "providers")})
        for name in ("tracker.yaml", "scenarios.yaml", "pools.yaml"):
            (etc / name).write_bytes((theirs / name).read_bytes())
        quick = {name: self._policy(name) | {"check_every": "2s"} for name in ("publication", "feedback")}
        self._edit("policies.yaml", quick)
        roles = yaml.safe_load((etc / "roles.yaml").read_text())
        roles["sites"] = {site["name"]: [{"name": name} for name in site["administrators"]] for site in sites}
        roles["users"] += [
            {"name": name, "roles": [role]}
            for names, role in (
                ({n for vo in people["vos"] for n in vo["representatives"]}, "VO Representative"),
                ({n for one in people["providers"] for n in one["representatives"]}, "Software Provider"),
            )
            for name in sorted(names)
        ]
        (etc / "roles.yaml").write_text(yaml.safe_dump(roles))
        token = Path(json.loads((self.grid / "grid.json").read_text())["tracker_connection_file"]).read_text().strip()
        with (etc / "pps.env").open("a") as settings:
            settings.write(f"AIRFLOW_CONN_PPS_TRACKER='{token}'\n")
        self._starts_sshd(sites, public_key(etc / "id_ed25519"))

    def puts_a_certificate(self) -> None:
        self.machine.run(
            "grep -q pps.example.org /etc/hosts || echo '127.0.0.1 pps.example.org packages.example.org' >>/etc/hosts"
        )
        self.runs(
            "cd /root && openssl req -x509 -newkey rsa:2048 -nodes -days 5 -subj '/CN=Example CA' -keyout ca.key "
            "-out /usr/local/share/ca-certificates/example.crt 2>/dev/null && update-ca-certificates >/dev/null\n"
            "openssl req -newkey rsa:2048 -nodes -subj '/CN=pps.example.org' -keyout /etc/ssl/private/pps.key "
            "-out pps.csr 2>/dev/null\n"
            "echo 'subjectAltName=DNS:pps.example.org,DNS:packages.example.org' >pps.ext\n"
            "openssl x509 -req -in pps.csr -CA /usr/local/share/ca-certificates/example.crt -CAkey ca.key -days 5 "
            "-extfile pps.ext -out /etc/ssl/certs/pps.pem 2>/dev/null\n"
        )

    def _policy(self, section: str) -> dict[str, Any]:
        return dict(yaml.safe_load((self.machine.root / "etc/pps/policies.yaml").read_text())[section])

    def _edit(self, name: str, changes: dict[str, Any]) -> None:
        file = self.machine.root / "etc/pps" / name
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes, sort_keys=False))

    def _starts_the_world(self) -> None:
        """Information system, tracker, mail, the provider's repository and the sites' disks."""
        grid = [sys.executable, "-m", "pps.sandbox.grid.grid", str(self.grid), "--sites", str(SITES), "--healthy"]
        self._starts([*grid, "--public-url", "https://pps.example.org"], self.folder / "grid.log")
        self.waits_for("the grid", (self.grid / "grid.json").exists, 120)

    def _starts_sshd(self, sites: list[dict[str, Any]], let_in: str) -> None:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for site in sites:
            folder = self.grid / "sites" / site["name"]
            (folder / "authorized_keys").write_text(f"restrict {let_in}\n")
            settings = {
                "Port": site["ssh"]["port"],
                "ListenAddress": "127.0.0.1",
                "HostKey": folder / "ssh_host_ed25519_key",
                "AuthorizedKeysFile": folder / "authorized_keys",
                "PidFile": "none",
                "StrictModes": "no",
                "UsePAM": "no",
                "PasswordAuthentication": "no",
                "PermitRootLogin": "prohibit-password",
            }
            (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
            self._starts(["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")], folder / "sshd.log")

    def _starts(self, command: list[str], log: Path) -> None:
        def end() -> None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        with log.open("w") as out:
            environment = {**os.environ, **PYTHON}
            process = subprocess.Popen(
                self.machine.beside(command), env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        self.ends.callback(end)

    # --- what comes after the installation

    def runs_a_worker(self) -> None:
        """The unit of section 9, as shut in as it is: it finds its broker, and begins to wait for tasks."""
        server = broker()
        assert server is not None
        self._starts([server, "--port", "6379", "--bind", "127.0.0.1", "--save", ""], self.folder / "broker.log")
        unit = "/etc/systemd/system/pps-worker.service.d"
        urls = (("BROKER_URL", 0), ("RESULT_BACKEND", 1))
        said = "".join(f"Environment=AIRFLOW__CELERY__{name}=redis://127.0.0.1:6379/{n}\\n" for name, n in urls)
        self.runs(f"mkdir -p {unit}\nprintf '[Service]\\n{said}' >{unit}/broker.conf\nsystemctl daemon-reload\n")
        self.runs("systemctl start pps-worker\n")
        look = "journalctl --no-pager -o cat -u pps-worker | grep -c ' ready\\.' || true\n"
        self.waits_for("the worker", lambda: self.machine.run(look).stdout.split()[-1:] == ["1"], 120)
        ended = "systemctl stop pps-worker; systemctl show -p Result -p ExecMainStatus --value pps-worker\n"
        assert sorted(self.runs(ended).split()) == ["0", "success"], self.journal()

    def offers_a_patch(self, number: int) -> None:
        """As a provider does: packages in its repository, a patch in the tracker."""
        described = json.loads((self.grid / "grid.json").read_text())
        offer = (
            "import sys; from pathlib import Path\n"
            "from pps.config.loader import load_configuration\n"
            "from pps.domain.sites.site import Platform\n"
            "from pps.sandbox.provider.packages import make_sample_packages\n"
            "from pps.sandbox.provider.provider import offer_patch\n"
            "from pps.services import Services\n"
            "config, connection, folder, url, platform, number, made = sys.argv[1:]\n"
            "services = Services(load_configuration(Path(config)), lambda _: Path(connection).read_text().strip())\n"
            "provided = make_sample_packages(Path(made), '3.1.23')\n"
            "given = (Path(folder), url, services.tracker, provided, Platform.parse(platform))\n"
            "offer_patch(*given, number=int(number), version='3.1.23')\n"
        )
        arguments = [described["config"], described["tracker_connection_file"], described["repository_folder"]]
        arguments += [described["services"]["repository"], described["made_with"]["platform"], str(number)]
        command = [sys.executable, "-c", offer, *arguments, str(self.folder / "made")]
        done = subprocess.run(
            self.machine.beside(command), env={**os.environ, **PYTHON}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def invitations(self) -> set[str]:
        """The links that were mailed to VOs."""
        mails = self.grid / "mails"
        bodies = (read_mail(mails, mail).get_body(("plain",)) for mail in kept_mails(mails, to="-vo-support@"))
        return {link for body in bodies if body for link in LINK.findall(body.get_content())}

    def answers(self, link: str) -> None:
        """As somebody of a VO: open the page, through the proxy, and send its form."""
        answer = (
            "import re, sys, requests\n"
            "page = requests.get(sys.argv[1], timeout=60)\n"
            'form = dict(re.findall(r\'name="(token|vo)" value="([^"]*)"\', page.text))\n'
            "form |= {'vo': sys.argv[2], 'opinion': 'works', 'text': 'It works for us.', 'author': 'support'}\n"
            "print(requests.post(sys.argv[1].partition('?')[0], data=form, timeout=60).status_code)\n"
        )
        (vo,) = re.findall(r"[?&]vo=([a-z]+)", link)
        said = self.runs(f"pps-as-service python -c {shlex.quote(answer)} {shlex.quote(link)} {vo}\n")
        assert said.split()[-1] in ("200", "201", "303"), said

    def tagged(self, tag: str) -> set[str]:
        """Sites that publish the tag on their disks."""
        lists = self.grid.glob("sites/*/opt/edg/var/info/*/ops/ops.list")
        return {file.relative_to(self.grid / "sites").parts[0] for file in lists if tag in file.read_text().split()}


@contextmanager
def installing() -> Iterator[Installing]:
    with short_folder("pps-install-") as folder, debian_machine(folder) as machine, ExitStack() as ends:
        yield Installing(machine, folder, ends)


def test_whoever_follows_the_documentation_has_a_service_that_brings_a_release_to_its_sites(usual_umask: None) -> None:
    commands = blocks()
    before = {"bin/setup --production": Installing.brings_the_checkout, "pps keys make": Installing.names_its_sites}
    before["nginx -t"] = Installing.puts_a_certificate
    assert all(sum(mark in block for block in commands) == 1 for mark in before), "blocks are not the ones we know"
    with installing() as here:
        for block in commands:
            for mark, prepare in before.items():
                if mark in block:
                    prepare(here)
            if "pps doctor" in block:
                here.waits_for("a doctor without a failure", partial(here.is_content, block))
            else:
                here.runs(block)

        first = dict(
            line.split(" ") for line in (here.machine.root / "var/lib/pps/first-passwords").read_text().splitlines()
        )
        assert not [password for password in first.values() if any(password in said for said in here.said)]
        here.offers_a_patch(4711)
        login = f"PPS_AIRFLOW_USER=release-manager PPS_AIRFLOW_PASSWORD={first['release-manager']}"
        here.runs(f"pps-as-service env {login} pps rollout start 4711\n")
        sites = {folder.name for folder in (here.grid / "sites").iterdir()}
        here.waits_for("the preview at all sites", lambda: here.tagged("VO-ops-PPS-GLITE-WN-3.1.23") == sites)
        assert len(sites) == SITES
        page = "import requests; print(requests.get('https://pps.example.org/pps/bulletin', timeout=30).text)"
        here.waits_for(
            "the bulletin, through the proxy", lambda: "3.1.23" in here.runs(f'pps-as-service python -c "{page}"\n')
        )
        units = here.runs(
            "systemctl show -p NRestarts -p ActiveState --value "
            "pps-scheduler pps-api-server pps-triggerer pps-dag-processor\n"
        )
        assert units.split() == ["active", "0"] * 4 or units.split() == ["0", "active"] * 4, units

        # a component that dies comes back, without anybody
        here.runs("systemctl kill -s KILL pps-api-server\n")
        here.waits_for(
            "the api-server",
            lambda: (
                here.machine.run("systemctl show -p NRestarts -p ActiveState --value pps-api-server").stdout.split()
                in (["1", "active"], ["active", "1"])
            ),
        )
        here.runs_a_worker()
        here.runs("systemctl start pps-backup.service pps-doctor.service\n")
        assert len(list((here.machine.root / "var/lib/pps/backup").iterdir())) == 2

        # as an image runs it: any user, nothing of the root can be written to
        shut_in = "setpriv --reuid=50000 --regid=0 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all"
        here.runs(
            "unshare --mount sh -ec 'mount -t tmpfs tmpfs /tmp -o mode=1777; mount -o remount,ro,bind /\n"
            f"cd /tmp; env -i PATH=/opt/pps/venv/bin:/usr/bin:/bin HOME=/tmp AIRFLOW_HOME=/tmp/airflow {shut_in} "
            "sh /opt/pps/rollout/deploy/container/entrypoint version'\n"
        )

        # all is lost, and the open rollout goes on where its backup left it
        here.waits_for("the invitations", lambda: len(here.invitations()) == 4)
        here.runs("pps-as-service --owner pps backup /var/lib/pps/backup/before\n")
        (restoring,) = blocks("restore")
        here.runs(restoring.replace("FOLDER", "before"))
        notes = here.machine.root / "var/lib/pps/www/release-notes/bc-client-4711-1.txt"
        assert not notes.exists()
        for link in here.invitations():
            here.answers(link)
        here.waits_for("the release notes", notes.exists)
        assert "It works for us." in notes.read_text()


def test_secrets_of_the_installation_are_in_no_block() -> None:
    """What is run is what people read: no block hides its output, or asks a person."""
    for block in blocks():
        assert not re.search(r"/dev/null|\|\| true|set \+e|<<", block), block
