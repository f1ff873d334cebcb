"""OpenPGP signatures of repository indexes, checked by `gpgv` or `sqv`.

Both verify against exactly the keys of one keyring file, know neither trust databases nor key
servers, and come with APT; Python has no maintained implementation of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from pps.domain.errors import ConfigurationError, PackageError

_SECONDS = 60


def signed_text(keyring: Path, subject: str, clear_signed: str) -> str:
    """The signed part, and nothing else, of a clear-signed text (InRelease)."""
    gpgv = shutil.which("gpgv")
    if gpgv is None:
        raise _no_tool("gpgv")
    with tempfile.TemporaryDirectory() as folder:
        message, text = Path(folder, "message"), Path(folder, "text")
        message.write_text(clear_signed, encoding="utf-8", newline="")
        _run([gpgv, "--quiet", "--keyring", str(_existing(keyring)), "--output", str(text), str(message)], subject)
        return text.read_text(encoding="utf-8")


def check_detached(keyring: Path, subject: str, text: str, signature: str) -> None:
    """Check a detached, armoured signature (Release.gpg, repomd.xml.asc)."""
    tool = shutil.which("gpgv") or shutil.which("sqv")
    if tool is None:
        raise _no_tool("gpgv or sqv")
    with tempfile.TemporaryDirectory() as folder:
        message, detached = Path(folder, "message"), Path(folder, "signature")
        message.write_text(text, encoding="utf-8", newline="")
        detached.write_text(signature, encoding="utf-8", newline="")
        _run([tool, "--keyring", str(_existing(keyring)), str(detached), str(message)], subject)


def can_read_clear_signed() -> bool:
    """Tell whether `signed_text` can work here; `sqv` reads detached signatures only."""
    return shutil.which("gpgv") is not None


def _existing(keyring: Path) -> Path:
    if not keyring.is_file():
        raise ConfigurationError(f"keyring {keyring}", "is not there.", "Correct package_keys in service.yaml.")
    return keyring.absolute()  # gpgv looks for plain names in its home


def _no_tool(name: str) -> ConfigurationError:
    return ConfigurationError(
        "service.yaml, package_keys", f"asks for signed repositories, but {name} is not installed.", f"Install {name}."
    )


def _run(command: list[str], subject: str) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            command[0], f"cannot be run ({type(error).__name__}).", "Check its installation."
        ) from error
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PackageError(
            subject,
            f"is not signed by a key of the configured keyring ({why[:200]}).",
            "Do not use it. Ask the provider.",
        )
