"""The kit of a site: what its root installs once, so that from then on the site verifies itself what it installs."""

from __future__ import annotations

import io
import ipaddress
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from pps.activities.sites.script import load_script
from pps.domain.base.errors import ConfigurationError
from pps.domain.base.names import checked_name
from pps.domain.sites.site import Site
from pps.domain.trust.keys import Root, SignerRole

FOLDER = "/opt/pps-kit"
STATE = "/var/lib/pps-kit"
FETCHES_IN = "/var/lib/pps-fetch"
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_PROGRAMS = {
    "pps-receive": "kit/receive.sh",
    "pps-keep": "kit/keep.sh",
    "pps-probe": "kit/probe.sh",
    "pps-fetch": "kit/fetch.sh",
    "pps-relay": "kit/relay.sh",
    "pps-cvmfs": "kit/cvmfs.sh",
    "pps-kit-install": "kit/install.sh",
    "pps-kit-check": "kit/check.sh",
}
_SENT_AS_THEY_ARE = {"pps-votag": "votag.sh", "pps-probes": "probes.sh"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site allows of one product: sizes in bytes, so that nobody fills its disk with two signatures."""

    product: str
    start: int = 1
    """lowest sequence that is followed: the newest one when the kit was made"""
    packed: int = 4 << 30
    unpacked: int = 16 << 30
    files: int = 200_000


@dataclass(frozen=True, slots=True)
class Accounts:
    """Who does what at the site. The receiver may write nothing; the prober runs what a preview brings."""

    receiver: str = "pps"
    keeper: str = "ppskeep"
    prober: str = "ppsprobe"
    switch: str = "sudo"
    """sudo; or none: one account for all, for sites that do not want another way, with less defence (docs/kit.md)"""

    def __post_init__(self) -> None:
        for account in (self.receiver, self.keeper, self.prober):
            checked_name(account, "account")
        if self.switch not in ("sudo", "none"):
            raise ConfigurationError(f"switch {self.switch!r}", "is neither sudo nor none.")
        if self.switch == "sudo" and len({self.receiver, self.keeper, self.prober}) != 3:
            raise ConfigurationError("accounts of a kit", "are not three.", "Name three, or choose switch none.")


@dataclass(frozen=True, slots=True)
class Centre:
    """What a kit has to know of us."""

    root: Root
    """the keys in force, which the site's root should compare with what it hears by another way"""
    controller_key: str
    """`<type> <base64>`: what distribution logs in with"""
    vo: str
    """the VO whose tags announce previews"""
    addresses: tuple[str, ...] = ()
    """networks that distribution comes from (`from=`); empty: any"""


@dataclass(frozen=True, slots=True)
class Fetch:
    """From where a site fetches what is in force by itself (scripts/kit/fetch.sh)."""

    address: str
    """http or https; of the centre, or of any mirror, cache or relay of its folder: nothing that comes is believed"""
    run: str = FETCHES_IN
    """the one folder that it writes to"""
    seconds: int = 3600
    """for one download"""
    keep_days: int = 30
    """so long a preview stays that another one has replaced"""
    report: str = ""
    """where it says what it has, with the token that its root has put there; empty: nowhere"""

    def __post_init__(self) -> None:
        # the same as in fetch.sh
        if not re.fullmatch(r"https?://[][A-Za-z0-9._~:/%@+-]{1,300}", self.address):
            why = "is no plain address of http or https."
            raise ConfigurationError(f"address to fetch from {self.address[:80]!r}", why, "Write https://host/folder.")
        if self.report and not re.fullmatch(r"https?://[A-Za-z0-9._~:/%@+-]{1,300}", self.report):
            why = "is no plain address of http or https."
            raise ConfigurationError(f"address to report to {self.report[:80]!r}", why, "Correct public_url.")


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are at the site, beyond what the registry says of it."""

    accounts: Accounts = Accounts()
    state: str = STATE
    path: str = PATH
    clock_skew_s: int = 300
    """so much may the site's clock and ours differ"""
    fetch: Fetch | None = None
    """None: it waits until somebody comes over SSH"""


def kit_files(
    site: Site, policies: Iterable[Policy], centre: Centre, place: Place | None = None
) -> Mapping[str, tuple[int, bytes]]:
    """Everything in the kit of a site: path in its folder -> mode and content. Holds no secret."""
    place = place or Place()
    accounts, controller_key = place.accounts, centre.controller_key
    if not re.fullmatch(r"(ssh|ecdsa|sk)-[a-z0-9@.-]{1,60} [A-Za-z0-9+/=]{16,4096}", controller_key):
        raise ConfigurationError("the controller's key", "is not `<type> <base64>` of OpenSSH's.", "Name its .pub.")
    options = ["restrict", f'command="{FOLDER}/bin/pps-receive"']
    if networks := ",".join(_network(a) for a in centre.addresses):
        options.append(f'from="{networks}"')
    settings = {
        "scheme": centre.root.scheme,
        "clock_skew": place.clock_skew_s,
        "state": place.state,
        "path": place.path,
        "receiver": accounts.receiver,
        "keeper": accounts.keeper,
        "prober": accounts.prober,
        "switch": accounts.switch,
    }
    files = {
        "etc/kit": (0o644, _lines(settings)),
        "etc/root": (0o644, centre.root.text.encode()),
        # a site that only fetches lets nobody in, also when its kit is installed again
        "etc/authorized_keys": (0o644, b"" if site.fetches else f"{','.join(options)} {controller_key}\n".encode()),
        "README": (0o644, _script("kit/README").encode()),
    }
    if (fetch := place.fetch) is not None:
        words = {
            "from": fetch.address,
            "site": site.name,
            "run": fetch.run,
            "seconds": fetch.seconds,
            "keep_days": fetch.keep_days,
        } | ({"report": fetch.report} if fetch.report else {})
        files["etc/fetch"] = (0o644, _lines(words))
    for policy in policies:
        files[f"etc/products/{checked_name(policy.product, 'product')}@{site.platform}"] = (
            0o644,
            _lines(
                {
                    "preview_root": site.preview_root,
                    "production_root": site.production_root,
                    "production_check": site.production_check,
                    "profile_d": site.profile_d,
                    "tag_dir": site.tag_dir,
                    "subcluster": site.subcluster,
                    "vo": checked_name(centre.vo, "VO"),
                    "signers": f"{SignerRole.RELEASE_MANAGER} {SignerRole.PPS_COORDINATOR}",
                    "start": policy.start,
                    "packed": policy.packed,
                    "unpacked": policy.unpacked,
                    "files": policy.files,
                }
            ),
        )
    for name, script in _PROGRAMS.items():
        files[f"bin/{name}"] = 0o755, load_script(script).encode()
    for name, script in _SENT_AS_THEY_ARE.items():
        files[f"bin/{name}"] = 0o644, load_script(script).encode()
    return files


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ConfigurationError(
            f"network {text[:60]!r}", f"is none ({error}).", "Write it like 192.0.2.0/24."
        ) from error


def _lines(settings: Mapping[str, object]) -> bytes:
    return "".join(f"{key} {value}\n" for key, value in settings.items()).encode()


def _script(name: str) -> str:
    return (resources.files("pps.activities.sites") / "scripts" / name).read_text(encoding="utf-8")


def kit_tar(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """The kit as a tar of root's, the same bytes for the same content, so that two people can compare its digest."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, (mode, content) in sorted(files.items()):
            info = tarfile.TarInfo(f"pps-kit/{path}")
            info.mode, info.size, info.mtime = mode, len(content), 946684800  # 2000-01-01: any fixed time
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()
