"""A site with a kit on this machine, and the people who sign what it may install: for demos, tests and benchmarks."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pps.activities.packages.payloads import prepare_payload
from pps.activities.ports.packages import Tarball
from pps.activities.trust.kit import Accounts, Centre, Fetch, Place, Policy, kit_files
from pps.domain.base.errors import SiteError
from pps.domain.packages.manifest import Manifest
from pps.domain.sites.site import Platform, Scheme, Site, SshEndpoint
from pps.domain.trust.keys import Current, Root, Signer, SignerRole, current_of
from pps.domain.trust.signed import Signature, Signed, envelope
from pps.domain.trust.statement import Statement, statement_of
from pps.sandbox.kit.previews import FolderArtefacts
from pps.sandbox.kit.ssh import new_key, public_key

PLATFORM = Platform("debian12", "amd64")
WEEK = timedelta(days=7)


def now() -> datetime:
    """This second."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class People:
    """Keys of people, made when they are asked for."""

    folder: Path
    scheme: Scheme
    kind: str = "ed25519"

    def key_file(self, name: str) -> Path:
        """The private key of `name`, of OpenSSH's or in PEM."""
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.scheme is Scheme.SSH:
                new_key(path, self.kind)
            else:
                subprocess.run(["openssl", "genrsa", "-out", str(path), "2048"], check=True, capture_output=True)
        return path

    def key(self, name: str) -> str:
        """The public half, as lists of keys have it."""
        path = self.key_file(name)
        if self.scheme is Scheme.SSH:
            return public_key(path).replace(" ", ",")
        der = subprocess.run(
            ["openssl", "pkey", "-in", str(path), "-pubout", "-outform", "DER"], check=True, capture_output=True
        ).stdout
        return f"rsa,{base64.b64encode(der).decode()}"

    def signature(self, name: str, text: str, namespace: str = "pps-statement", says: str = "") -> Signature:
        """What `name` signs; `says` is the name that stands beside it."""
        if self.scheme is Scheme.SSH:
            made = subprocess.run(
                ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", str(self.key_file(name))],
                input=text, text=True, check=True, capture_output=True,
            ).stdout  # fmt: skip
        else:
            raw = subprocess.run(
                ["openssl", "dgst", "-sha256", "-sign", str(self.key_file(name))],
                input=text.encode(), check=True, capture_output=True,
            ).stdout  # fmt: skip
            made = base64.encodebytes(raw).decode()
        return Signature(says or name, made)

    def signed(self, text: str, *names: str, namespace: str = "pps-statement") -> Signed:
        """A document with the signatures of all of them."""
        return Signed(text, tuple(self.signature(name, text, namespace) for name in names))

    def signer(self, name: str, role: str, person: str = "") -> Signer:
        """A line of a list of keys; everybody is the person of that name unless `person` says another one."""
        return Signer(name, role, person or name, self.key(name))

    def root(self, number: int = 1, **changes: Any) -> Root:
        """A list of keys: three root keys, a Release Manager (rm), a PPS Coordinator (coordinator), the online key."""
        root = Root(
            number,
            now() - timedelta(days=30),
            self.scheme,
            tuple(self.signer(f"root-{n}", "root", f"holder-{n}") for n in (1, 2, 3)),
            (self.signer("rm", SignerRole.RELEASE_MANAGER), self.signer("coordinator", SignerRole.PPS_COORDINATOR)),
            (self.signer("online", "current"),),
        )
        return replace(root, **changes)


@dataclass
class KitSite:
    """A kit, unpacked, and its site; requests run without a connection, in a shell of the test's choice."""

    folder: Path
    people: People
    store: FolderArtefacts
    path: str = os.environ["PATH"]
    policy: Policy = field(default_factory=lambda: Policy("client"))
    statements: list[Statement] = field(default_factory=list)
    fetch_from: str = ""
    """address that it fetches from by itself; "": it does not"""
    keep_days: int = 30
    report_to: str = ""
    """address that it tells what it has; "": none"""

    @property
    def what(self) -> str:
        """`product@platform` that it wants."""
        return f"{self.policy.product}@{PLATFORM}"

    @property
    def root(self) -> Path:
        """Where previews go."""
        return self.folder / "previews"

    @property
    def state(self) -> Path:
        """What the site remembers."""
        return self.folder / "state"

    @property
    def run(self) -> Path:
        """What pps-fetch writes to."""
        return self.folder / "run"

    @property
    def site(self) -> Site:
        """As the registry has it."""
        return Site(
            name="SITE-K", roc="Test", platform=PLATFORM,
            ssh=SshEndpoint("127.0.0.1", 22, "pps", "ssh-ed25519 AAAA"),
            preview_root=str(self.root), production_root=str(self.folder / "production"),
            profile_d=str(self.folder / "profile.d"), tag_dir=str(self.folder / "tags"),
            subcluster="ce.example.org", contact="admin@example.org",
        )  # fmt: skip

    def unpack(self) -> None:
        """Install the kit, as one account that does everything."""
        for name in ("production/bin", "profile.d", "tags", "previews"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "production/bin/tool").write_text("production")
        self.state.mkdir(mode=0o700)
        centre = Centre(self.people.root(), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "ops")
        fetch = None
        if self.fetch_from:
            fetch = Fetch(self.fetch_from, str(self.run), 60, keep_days=self.keep_days, report=self.report_to)
        self.run.mkdir(mode=0o700)
        place = Place(Accounts(switch="none"), str(self.state), self.path, fetch=fetch)
        files = kit_files(self.site, [self.policy], centre, place)
        for name, (mode, content) in files.items():
            path = self.folder / "kit" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)

    def ask(self, verb: str, *arguments: str, stdin: bytes = b"", prefix: str = "", seconds: float = 60) -> list[str]:
        """The kit's answers to one request, without the line that begins them."""
        command = [*prefix.split(), "sh", str(self.folder / "kit/bin/pps-keep"), "pps-nonce", verb, *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, timeout=seconds, check=False, env={"PATH": self.path}
        )
        lines = done.stdout.decode().split("\n")
        if done.stderr:  # a kit says nothing there
            raise SiteError(self.site.name, f"its kit complains: {done.stderr.decode(errors='replace')[:500]}")
        return [line for line in lines if line not in ("", "pps-nonce", "PPS-WAIT")]

    # --- the centre's side ---------------------------------------------------------------------------------------

    def statement(self, tarball: Tarball, **changes: Any) -> Statement:
        """The next statement, of this tarball; nobody has signed it yet."""
        manifest = self.manifest(tarball)
        made = statement_of(
            manifest, PLATFORM, f"VO-ops-PPS-{tarball.name.upper()}"[:60], packed=1 << 20,
            before=self.statements, now=now(), holds_for=WEEK,
        )  # fmt: skip
        return replace(made, **changes)

    def manifest(self, tarball: Tarball) -> Manifest:
        """What is in a tarball."""
        return Manifest.parse(self.store.local(tarball.name, "MANIFEST").read_text())

    def current(self, *newest: Statement, **changes: Any) -> Signed:
        """What is in force, signed by the online key."""
        made: Current = replace(current_of(newest, 1, now()), **changes)
        return self.people.signed(made.text, "online", namespace="pps-current")

    def signed(self, statement: Statement | str, *names: str) -> Signed:
        """A statement, signed by `names`; by both people who may where none is given."""
        text = statement if isinstance(statement, str) else statement.text
        return self.people.signed(text, *(names or ("rm", "coordinator")))

    def payload(self, tarball: Tarball, base: Tarball | None = None) -> bytes:
        """What is sent of a tarball to a site that has `base`."""
        below = self.manifest(base) if base else None
        return prepare_payload(
            tarball, self.manifest(tarball), below, self.store, self.store.folder.parent / "cache"
        ).read_bytes()

    def put(
        self,
        documents: Iterable[Signed],
        payload: bytes = b"",
        *,
        base: str = "",
        depth: str = "list",
        prefix: str = "",
    ) -> list[str]:
        """Send documents and a payload; the kit's answers."""
        came = envelope(documents).encode()
        answer = f"delta {base}\n" if base else "full\n"
        return self.ask("put", str(len(came)), depth, "60", stdin=came + answer.encode() + payload, prefix=prefix)

    def install(self, tarball: Tarball, **changes: Any) -> list[str]:
        """All is well: sign, tell what is current, send."""
        statement = self.statement(tarball, **changes)
        said = self.put([self.current(statement), self.signed(statement)], self.payload(tarball))
        self.statements.append(statement)
        return said
