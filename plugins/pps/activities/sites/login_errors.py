"""How a way to a site fails, in the same words and classes whichever SSH client was used.

An adapter finds out what happened; what that is called, and who has to do what, is written here once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from pps.domain.base.errors import ConfigurationError, HostKeyError, SiteUnreachableError

#: What both clients ask a site's sshd for, best first. curve25519 and aes128-gcm cost the controller least;
#: hmac-sha1 is not broken, unlike signatures with SHA-1.
KEY_EXCHANGES = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "diffie-hellman-group14-sha256",
)
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
)
MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1",
)
_PLURAL = {"key exchange": "key exchanges", "cipher": "ciphers", "MAC": "MACs"}
_SAID = 500
"""how many characters of what a login says go into the reason"""
_MODERN = re.compile(r"ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|rsa-sha2-(256|512)")
_AGAIN = "Check for a downtime; the nightly distribution tries again."
# Colours and titles of terminals, whole; and what UTF-16 looks like where UTF-8 is read. Each part is bounded, so a
# long text costs no more than its length.
_NOT_TEXT = re.compile(
    "\x1b\\[[0-?]{0,64}[ -/]{0,8}[@-~]|\x1b[\\]PX^_][^\x07\x1b]{0,256}(?:\x07|\x1b\\\\)|\x1b[ -/]{1,8}[0-~]"
    "|\ufffd\ufffd(?=[^\0]\0)|\0"
)
_NO_ALGORITHM = re.compile(r"kex-strict-.*|ext-info-.*")


def cleaned(text: str, length: int = 300) -> str:
    """Make text that a site said fit for logs, mails and pages: one line, no control or bidi characters, bounded."""
    shown = _NOT_TEXT.sub("", text[: 4 * length])
    safe = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in shown)
    return " ".join(safe.split())[:length]


def _says(said: str) -> str:
    """What the login printed, as the end of a sentence; if it is long only its end, where the reason is."""
    text = cleaned(said[-8 * _SAID :], 8 * _SAID)
    if not text:
        return "."
    if len(text) >= _SAID:
        text = "…" + text[2 - _SAID :].lstrip()
    return f". It says: {text}{'' if text[-1] in '.!?' else '.'}"


def host_key_algorithms(kind: str) -> tuple[str, ...]:
    """The signatures that a host key of this type makes, as far as we believe them: not ssh-rsa, which is SHA-1."""
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)


def other_host_key(site: str, shown: str) -> HostKeyError:
    """The key does not equal the pinned one; `shown` is its fingerprint."""
    return HostKeyError(
        site,
        f"shows another host key than the registry has ({shown or 'of unknown fingerprint'}).",
        "Confirm the new key with the site's administrator by another way, then correct it in the registry.",
    )


def nothing_in_common(site: str, what: str, offered: Sequence[str], kind: str) -> HostKeyError | SiteUnreachableError:
    """Client and sshd do not agree on an algorithm.

    Args:
        what: its kind: "host key", "key exchange", "cipher" or "MAC".
        offered: what the sshd knows of that kind.
        kind: type of the host key in the registry.
    """
    names = [name for name in offered if not _NO_ALGORITHM.fullmatch(name)]
    shown = cleaned(", ".join(names)) or "none"
    if what != "host key":
        return SiteUnreachableError(
            site,
            "its sshd is too old for our algorithms, or narrowly configured: "
            f"of its {_PLURAL[what]} ({shown}) we take none.",
            "Its administrator must update sshd, or allow one of: "
            f"{', '.join({'key exchange': KEY_EXCHANGES, 'cipher': CIPHERS, 'MAC': MACS}[what])}.",
        )
    if any(_MODERN.fullmatch(name) for name in names):
        return HostKeyError(
            site,
            f"shows another host key than the registry has (none of the type {kind}; it offers {shown}).",
            "Confirm the new key with the site's administrator by another way, then correct it in the registry.",
        )
    return SiteUnreachableError(
        site,
        f"its sshd is too old for our signature algorithms: it offers only {shown}; SHA-1 can be forged.",
        "Its administrator must update sshd (OpenSSH 7.2 or newer), or give it an ed25519 or ecdsa host key, "
        "which then goes into the registry. The key that is there now need not be wrong.",
    )


def not_let_in(site: str, key: str, said: str) -> SiteUnreachableError:
    """Our key was refused; no server tells why. `key` is ed25519, rsa or ecdsa."""
    return SiteUnreachableError(
        site,
        f"does not let us log in with our {f'{key} ' if key else ''}key{_says(said)}",
        "Ask the site's administrator whether the account is open, our key is still authorised, "
        f"and {key or 'such'} keys are allowed there (PubkeyAcceptedAlgorithms).",
    )


def hung_up(site: str, said: str) -> SiteUnreachableError:
    """The connection ended after the host key and before an answer to ours, as PAM does to an expired account."""
    return SiteUnreachableError(
        site,
        f"ends the connection when we log in{_says(said)}",
        "Ask the site's administrator whether the account is open: if it has expired, sshd hangs up like this.",
    )


def no_connection(site: str, client_says: str) -> SiteUnreachableError:
    """Nothing was agreed on yet. `client_says`, in its own words and none of the server's, is searched for a cause."""
    causes = (why for pattern, why in _CAUSES.items() if pattern.search(client_says))
    why = next(causes, "the connection ended before the login")
    return SiteUnreachableError(site, f"cannot be reached ({why}).", _AGAIN)


_CAUSES: Mapping[re.Pattern[str], str] = {
    re.compile(r"refused|Errno 111", re.I): "Connection refused: nothing listens at its port",
    re.compile(r"resolve|gaierror|Name or service|getaddrinfo|Errno -\d", re.I): "its host name has no address",
    re.compile(r"No route|unreachable|Errno 1(13|01)\b", re.I): "there is no route to it",
}


def no_answer(site: str, seconds: float, said: str) -> SiteUnreachableError:
    """Our script did not begin in time: a site that is slow, or a login that waits for something."""
    return SiteUnreachableError(
        site,
        f"no answer within {seconds:g} s{_says(said)}",
        "Check for a downtime, and the account's login: whatever asks for something, or starts another shell there "
        "(`exec bash` in .bashrc), never gets as far as our script. The nightly distribution tries again.",
    )


def broke(site: str) -> SiteUnreachableError:
    """The connection ended after the login."""
    return SiteUnreachableError(site, "the connection broke.", "The nightly distribution tries again.")


def killed_there(site: str) -> SiteUnreachableError:
    """A signal ended our script, not we."""
    return SiteUnreachableError(
        site, "our script was killed at the site.", "The nightly distribution tries again; ask the site about limits."
    )


def no_session(site: str, said: str) -> SiteUnreachableError:
    """Logged in, but no command may be run."""
    return SiteUnreachableError(
        site,
        f"lets us log in, but runs no command for us{_says(said)}",
        "Ask the site's administrator to allow sessions with a command for the account.",
    )


def login_ended(site: str, code: int, said: str) -> SiteUnreachableError:
    """The account's shell, or what is forced in its place, ended before our script began."""
    if "allows sftp connections only" in said:  # sshd's own words for its internal-sftp
        return sftp_only(site)
    return SiteUnreachableError(
        site,
        f"the login ended (code {code}) before our script began{_says(said)}",
        "Check the account at the site: its login shell, the expiry of its password, a forced command.",
    )


def sftp_only(site: str) -> SiteUnreachableError:
    """An SFTP server answers where a shell should."""
    return SiteUnreachableError(
        site,
        "the account is an SFTP-only account: no command can be run there.",
        "Ask the site's administrator for an account with a POSIX shell.",
    )


def unreadable_key(site: str) -> ConfigurationError:
    """Our own private key, or the pinned host key, is no key."""
    return ConfigurationError(
        f"keys of {site}", "cannot be read.", "Correct the site registry, or the Connection, or the key file's rights."
    )
