"""Matchmaking with HTCondor's ClassAd library, the one that the gLite WMS was built on; an optional package."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from pps.domain.base.errors import ConfigurationError


class ClassAdMatchmaker:
    """`ports.Matchmaker` on PyPI's htcondor (module classad2).

    An independent judge: it shares no code with what writes our JDL.
    """

    def __init__(self) -> None:
        """`ConfigurationError` where the library is not installed."""
        try:
            import classad2
        except ImportError as error:
            raise ConfigurationError(
                "ClassAd library", "is not installed.", "Install the package htcondor, or do without probe 9's JDL."
            ) from error
        self._classad: ModuleType = classad2

    def matches(self, requirement: str, tags: Sequence[str]) -> bool:
        """Evaluate a JDL's `Requirements = ...;` with the CE's ad bound to `other`; a syntax error is no match."""
        ce = self._classad.ClassAd({"GlueHostApplicationSoftwareRunTimeEnvironment": list(tags)})
        try:
            job = self._classad.parseOne(f"[{requirement}]")
            job["other"] = ce
            return job.eval("Requirements") is True
        except (self._classad.ClassAdException, KeyError):
            return False


def matchmaker_if_installed() -> ClassAdMatchmaker | None:
    """The matchmaker, or None where its library is missing."""
    try:
        return ClassAdMatchmaker()
    except ConfigurationError:
        return None
