"""Errors, grouped by who must act.

```text
RolloutError
  ConfigurationError        fix a file under config/
    InvalidNameError        a name that must not reach a shell, filter, header or path
  NotYetAllowedError        a person (or time) must act first
    AlreadyOpenError        this patch is being rolled out already
  RefusedError              the rules say no; the reasons say why
  PackageError              the provider's packages or repository are wrong
    HostileArchiveError     an archive that tries to leave its folder, or to fill the disk
    TamperedError           what we keep is not what is on record: a person must find out who changed it
  CleanRootError            this machine cannot install an update for a test; says nothing about the update
  PatchNotFoundError        the tracker has no such patch
  ServiceError              one of our own services (tracker, BDII, mail, store) does not answer: retry
  SiteError                 one site is affected, the others go on
    SiteUnreachableError    retry later; the nightly distribution does
    HostKeyError            the site's administrator must confirm the new key
    SiteBusyError           another installer holds the site's lock: retry
    SiteRefusedError        the receiver at the site said no (disk full, digest, ...)
```

Every error carries three things: what is affected, why, and what to do next.
"""

from __future__ import annotations


class RolloutError(Exception):
    """Base of all errors that we raise on purpose."""

    def __init__(self, subject: str, why: str, next_step: str = "") -> None:
        super().__init__(subject, why, next_step)
        self.subject = subject
        self.why = why
        self.next_step = next_step

    def __str__(self) -> str:
        text = f"{self.subject}: {self.why}"
        return f"{text} {self.next_step}" if self.next_step else text


class ConfigurationError(RolloutError):
    """A file under config/ must be fixed."""


class InvalidNameError(ConfigurationError):
    """A name holds characters that must not reach a shell, an LDAP filter, a mail header or a path."""


class NotYetAllowedError(RolloutError):
    """The rules allow this only after a person, or time, has acted."""


class AlreadyOpenError(NotYetAllowedError):
    """The same patch is being rolled out already."""


class RefusedError(RolloutError):
    """The rules say no; `reasons` holds one sentence for each broken rule."""

    def __init__(self, subject: str, reasons: tuple[str, ...], next_step: str = "") -> None:
        super().__init__(subject, " ".join(reasons), next_step)
        self.reasons = reasons


class PackageError(RolloutError):
    """The provider's packages or repository are wrong."""


class HostileArchiveError(PackageError):
    """An archive tries to write outside its folder or to fill the disk."""


class TamperedError(PackageError):
    """What we keep (a tarball, a package) is not what is on record. No site's fault, and no retry mends it."""


class CleanRootError(RolloutError):
    """This machine cannot make a clean root to install an update in: a right, a program or the mirror is missing."""


class PatchNotFoundError(RolloutError):
    """The tracker has no such patch."""


class ServiceError(RolloutError):
    """A central service (tracker, BDII, mail, store) does not answer as it should; worth a retry."""


class SiteError(RolloutError):
    """One site is affected; the others go on."""


class SiteUnreachableError(SiteError):
    """No connection, or it broke; the nightly distribution tries again."""


class HostKeyError(SiteError):
    """The site shows an unknown or changed host key."""


class SiteBusyError(SiteError):
    """Another installer holds the site's lock."""


class SiteRefusedError(SiteError):
    """The receiver at the site refused: disk full, wrong digest, clock, ..."""
