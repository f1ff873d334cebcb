"""Makes a Roundup tracker home from `config/tracker/`: our schema, rules and pages."""

from __future__ import annotations

import filecmp
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

from pps.domain.base.errors import ConfigurationError

#: What our templates of pages build upon; Roundup brings it along.
_BASE = "classic"
_ROUNDS = 1000
USER = "pps"
SECRET_FILE = "pps.connection"  # noqa: S105 (its name)
_OURS = ("schema.py", "initial_data.py", "detectors", "extensions", "html")


@dataclass(frozen=True, slots=True)
class Home:
    """A tracker home."""

    folder: Path
    made: bool
    """False: it was there, and its schema and pages are ours again"""
    secret_file: Path
    """the connection `pps_tracker`, for its owner's eyes only"""

    @property
    def connection(self) -> str:
        """URI of the connection `pps_tracker`; holds a password."""
        return self.secret_file.read_text(encoding="utf-8").strip()


def make_home(folder: Path, url: str, source: Path, *, mail_domain: str = "localhost") -> Home:
    """Make a tracker home, or bring the files of one that is there up to date; its data stay.

    Args:
        url: where people and we shall find it; kept in its config.ini.
        source: `config/tracker/`.
    """
    try:
        from roundup import configuration, instance, password
    except ImportError as error:
        why = "is not installed in this Python."
        raise ConfigurationError("Roundup", why, "Install it: pip install pps-rollout[tracker]") from error

    url = url.rstrip("/") + "/"
    if folder.exists() and any(folder.iterdir()) and not (folder / "schema.py").exists():
        raise ConfigurationError(str(folder), "is not empty, and no tracker home.", "Name another folder.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _copy_files(folder, source)
    settings = {
        "TRACKER_NAME": "PPS patches",
        "TRACKER_WEB": url,
        "MAIL_DOMAIN": mail_domain,
        "MAIL_HOST": "localhost",
        "RDBMS_BACKEND": "sqlite",
        "UMASK": "0o077",
        # the machine's password is random and long, so a cheap digest of it is enough, and stays as it is
        "WEB_MIGRATE_PASSWORDS": "no",
        # a thousand words in release notes are no attack
        "CSV_FIELD_SIZE": "1000000",
    }
    ini = folder / "config.ini"
    if not ini.exists():
        configuration.CoreConfig(settings=settings).save(str(ini))
    config = configuration.CoreConfig(str(folder))
    if config["TRACKER_WEB"] != url:
        config["TRACKER_WEB"] = url
        config.save(str(ini))
    tracker = instance.open(str(folder))
    made = not tracker.exists()
    if made:
        # nobody signs in with it: roundup-admin works on the folder, and may set another one
        tracker.init(password.Password(secrets.token_urlsafe(24), config=tracker.config))
    _make_user(tracker, folder / SECRET_FILE, url)
    return Home(folder, made, folder / SECRET_FILE)


def _copy_files(folder: Path, source: Path) -> None:
    from roundup.admin import AdminTool

    base = AdminTool().listTemplates().get(_BASE)
    if base is None:
        raise ConfigurationError("Roundup", f"has no template {_BASE!r}.", "Install it anew.")
    if not (folder / "html").exists():
        shutil.copytree(Path(base["path"]) / "html", folder / "html")
    for name in ("TEMPLATE-INFO.txt", *_OURS):
        for file in [source / name] if (source / name).is_file() else sorted((source / name).glob("*.*")):
            there = folder / file.relative_to(source)
            if not there.exists() or not filecmp.cmp(file, there, shallow=False):
                there.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, there)


def _make_user(tracker: object, secret_file: Path, url: str) -> None:
    """Our own user, with a password in a file beside the data; both are kept if they are there."""
    from roundup import password

    db = tracker.open("admin")  # type: ignore[attr-defined]
    try:
        known = db.user.filter(None, {}, exact_match_spec={"username": USER})
        if known and secret_file.exists():
            _write_connection(secret_file, _password_in(secret_file), url)
            return
        token = secrets.token_urlsafe(32)
        # a random one of 256 bit needs no slow digest, and each request of ours is signed in anew
        quick = SimpleNamespace(PASSWORD_PBKDF2_DEFAULT_ROUNDS=_ROUNDS)
        values = {"password": password.Password(token, config=quick), "roles": "Rollout"}
        if known:
            db.user.set(known[0], **values)
        else:
            db.user.create(username=USER, address="", realname="PPS Rollout", **values)
        _write_connection(secret_file, token, url)
        db.commit()
    finally:
        db.close()


def _password_in(file: Path) -> str:
    from urllib.parse import unquote

    return unquote(urlsplit(file.read_text(encoding="utf-8").strip()).password or "")


def _write_connection(file: Path, token: str, url: str) -> None:
    parts = urlsplit(url)
    text = f"{parts.scheme}://{USER}:{quote(token, safe='')}@{parts.netloc}\n"
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    part.replace(file)
