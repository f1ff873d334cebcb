"""Who has signed in on this machine: kept in a file that its owner alone can read, as `pps login` writes it."""

from __future__ import annotations

import base64
import json
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pps.domain.base.errors import ConfigurationError

_MOST_BYTES = 64 * 1024
_AGAIN = "Sign in again: pps login"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A token of Airflow, and whose it is."""

    url: str
    user: str
    token: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"SignIn({self.user} at {self.url})"

    @property
    def until(self) -> datetime | None:
        """When the token ends, as it says itself; None where it does not."""
        try:
            middle = self.token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
            return datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (IndexError, KeyError, TypeError, ValueError, OverflowError):
            return None


def sign_in_file() -> Path:
    """Where it is kept: `PPS_LOGIN_FILE`, else in the user's configuration folder."""
    if named := os.environ.get("PPS_LOGIN_FILE"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "pps" / "login.json"


def keep(found: SignIn) -> Path:
    """Write it, in place of one from before; nobody else can read it at any moment."""
    path = sign_in_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".login-", dir=path.parent)  # 0600
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(found), file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def kept() -> SignIn | None:
    """Who has signed in here, or None.

    Raises:
        ConfigurationError: the file is another account's, or others can read it, or it is no such file.
    """
    path = sign_in_file()
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read ({error.strerror}).", _AGAIN) from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            why = "others can read or change this file, and with it act in your name."
            raise ConfigurationError(str(path), why, "Remove it. " + _AGAIN)
        raw = file.read(_MOST_BYTES + 1)
    try:
        found = json.loads(raw)
        return SignIn(*(str(found[key]) for key in ("url", "user", "token")))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(str(path), "is not what pps login writes.", "Remove it. " + _AGAIN) from error


def forget() -> bool:
    """Remove it; tell whether there was one. The token itself is good until it ends: Airflow has no list of them."""
    with suppress(FileNotFoundError):
        sign_in_file().unlink()
        return True
    return False
