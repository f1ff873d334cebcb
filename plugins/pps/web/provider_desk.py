"""What a provider's pages and programs have in common: releases are sent, seen, and let go on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import HTTPException
from pydantic import Field

from pps.activities.packages import submission
from pps.activities.packages.submission import Sender, Terms
from pps.activities.people.adopters import all_adopters
from pps.config.egi_products import is_egi_product, releases_of_product
from pps.config.release_documents import parse_release, release_document
from pps.domain.base.errors import PatchNotFoundError, RefusedError, ServiceError
from pps.domain.base.names import is_name
from pps.domain.packages.patch import PatchState
from pps.domain.people.adopters import too_few
from pps.domain.people.providers import reasons_against_submitting
from pps.domain.record.facts import Fact
from pps.domain.record.submissions import Submitted
from pps.services import Services
from pps.web.doors import Body, Reason
from pps.web.forms import Person, office_of
from pps.web.provider_view import may_see, own_providers, release_view, seen_by
from pps.web.provider_work import Looker
from pps.web.tracked import Tracked
from pps.workflow.provider_desk import patches_of, standing

_SHOWN = 100
"""releases, those that were sent last"""
_OTHERS = 50
"""patches that were entered in other ways, of one provider"""
_DEAD = (PatchState.REJECTED, PatchState.OBSOLETE)


class SubmissionBody(Body):
    """A release, to be looked at, or to be entered if no fault is found."""

    document: dict[str, Any]
    """see docs/provider.md"""
    submit: bool = False


class WaiverBody(Body):
    """A fault with which a release may go on."""

    finding: Annotated[str, Field(max_length=40)]
    """its key"""
    reason: Reason


@dataclass(frozen=True)
class Desk:
    """What pages and programs have in common."""

    services: Callable[[], Services]
    now: Callable[[], datetime]
    looker: Looker
    tracked: Tracked

    def send(self, person: Person, document: Mapping[str, Any], *, submit: bool) -> Fact:
        """Take a release, and begin to look at it."""
        s, at = self.services(), self.now()
        document = _of_ours(document)
        product = document.get("metapackage")
        if not is_name(product):
            raise RefusedError("release", ("metapackage: name the product, e.g. glite-WN.",), "Nothing was looked at.")
        providers = s.config.providers
        if reasons := reasons_against_submitting(str(product), providers, person.identities):
            # before anything of somebody else's document is looked at
            raise RefusedError(f"release of {product}", reasons, "Nothing was looked at.")
        release = parse_release(document, s.contact_of(str(product)))
        sender = Sender(person.name, person.identities, providers)
        policy = s.config.policies.submission
        fact = submission.offer(
            office_of(s, person, at),
            sender,
            release,
            release_document(release),
            submit=submit,
            terms=Terms(policy.look_within, policy.looks_per_hour),
        )
        if fact.at == at:
            self.looker.begin(release, fact)
        return fact

    def known(self, person: Person, product: str, version: str) -> Submitted:
        """A release that this person may see; 404 otherwise, whether there is one or not."""
        s = self.services()
        found = (
            submission.release_of(s.facts, f"{product}/{version}") if is_name(product) and is_name(version) else None
        )
        if found is None or not may_see(s.config, person, product):
            raise HTTPException(404, "There is no such release here that you may see.")
        return found

    def waive(self, person: Person, release: Submitted, said: WaiverBody) -> Fact:
        """Let a release go on with a fault."""
        s = self.services()
        return submission.waive(
            office_of(s, person, self.now()),
            release.key,
            said.finding,
            said.reason,
            user=person.name,
            mine=person.identities,
            providers=s.config.providers,
        )

    def view(self, release: Submitted) -> dict[str, Any]:
        """As it stands now."""
        within = self.services().config.policies.submission.look_within
        where = self.standing(release.patch)
        return {
            **release_view(release, self.now(), within),
            "standing": where,
            "too_few": self._too_few(release, where),
        }

    def _too_few(self, release: Submitted, where: Mapping[str, Any] | None) -> str:
        """That too few try it, while it can be tried; "" if it has enough."""
        s = self.services()
        if release.patch is None or where is None or where["in_production"] or where["state"] in _DEAD:
            return ""
        at_least = s.config.policies.submission.adopters_at_least
        return too_few(all_adopters(s.facts), release.patch, release.product, at_least, self.now().date())

    def standing(self, patch: int | None) -> dict[str, Any] | None:
        """Where a patch is; None without one, or where nobody can tell."""
        s = self.services()
        if patch is None:
            return None
        with suppress(PatchNotFoundError, ServiceError):
            return standing(s.facts, patch, self.tracked.patch(patch), s.config.policies, self.now())
        return None

    def listed(self, person: Person, shown: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The releases that somebody may see, the one that was sent last first."""
        s = self.services()
        known = seen_by(s.config, person, list(submission.all_releases(s.facts).values()))
        return {
            "releases": [shown(self.view(r)) for r in known[:_SHOWN]],
            "older": max(0, len(known) - _SHOWN),
            "others": self.others(person, known),
        }

    def others(self, person: Person, releases: Collection[Submitted]) -> list[dict[str, Any]]:
        """Where the patches of somebody's products are that were not submitted here."""
        s = self.services()
        known = {release.patch for release in releases}
        numbers = [n for n in patches_of(s.facts, own_providers(s.config, person)) if n not in known]
        return [found for n in numbers[:_OTHERS] if (found := self.standing(n)) is not None]


def _of_ours(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The release itself; of a product as EGI describes it the one release that it makes."""
    if not is_egi_product(document):
        return document
    found = releases_of_product(document)
    if len(found) > 1:
        names = ", ".join(str(one["version"]) for one in found)
        why = f"It makes {len(found)} releases, since its targets have repositories of their own: {names}."
        raise RefusedError("EGI product", (why,), "Send each target by itself, or the file by: pps provider submit")
    return found[0]
