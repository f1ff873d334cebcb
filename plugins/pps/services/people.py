"""Adapters that reach people, and who they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pps.activities.people.notification import Audience, Party
from pps.activities.people.outbox import with_copies
from pps.activities.ports.people import Channel, Mail, Mailer
from pps.config.channel_models import By
from pps.domain.base.errors import ConfigurationError
from pps.domain.people.channels import connection_of
from pps.domain.people.roles import Role
from pps.domain.sites.site import Site
from pps.services.base import Shared

if TYPE_CHECKING:
    pass


_SECRET_BYTES = 32


class People(Shared):
    """Mail, other channels, and whom to tell."""

    @cached_property
    def mailer(self) -> Mailer:
        """SMTP; login and password, where the server wants them, are in the connection `pps_smtp`."""
        from pps.adapters.services.mail import SmtpMailer

        service, secret = self.config.service, self._secret_of("pps_smtp")
        return SmtpMailer(
            service.smtp_host,
            service.smtp_port,
            security=service.smtp_security,
            sender=service.mail_from,
            reply_to=service.reply_to,
            user=unquote(secret.username or "") if secret else "",
            password=unquote(secret.password or "") if secret else "",
        )

    @cached_property
    def channels(self) -> Mapping[str, Channel]:
        """The other ways to people that people.yaml names; the secret of each is the password of its Connection."""
        if not self.config.people.channels:
            return {}
        from pps.adapters.services.channels import AppriseChannel, Webhook

        def secret_of(name: str) -> Callable[[], str | None]:
            return lambda: unquote(found.password or "") if (found := self._secret_of(connection_of(name))) else None

        return {
            name: Webhook(name, c.url, secret_of(name)) if c.by is By.WEBHOOK else AppriseChannel(name, secret_of(name))
            for name, c in self.config.people.channels.items()
        }

    def by_all_channels(self, mails: Iterable[Mail]) -> Sequence[Mail]:
        """Mails with their copies for other channels, as people.yaml says."""
        groups = self.config.people.groups if (queued := tuple(mails)) else ()
        return with_copies(queued, groups, self.config.service.public_url) if groups else queued

    def audience(self, vos: Sequence[str] | None = None) -> Audience:
        """Whom to tell: the VOs of people.yaml (or those named) and all ROCs.

        `ConfigurationError` for a VO that people.yaml does not have.
        """
        people, url = self.config.people, self.config.service.public_url
        known = {vo.name: vo for vo in people.vos}
        if unknown := sorted(set(vos or ()) - known.keys()):
            raise ConfigurationError(
                f"VO {', '.join(unknown)}", "is not in people.yaml.", "Add it, or correct the name."
            )
        wanted = known if vos is None else {name: known[name] for name in vos}
        return Audience(
            tuple(Party(vo.name, vo.contact) for vo in wanted.values()),
            tuple(Party(roc.name, roc.contact) for roc in people.rocs),
            url,
            self.feedback_secret,
        )

    @property
    def coordination(self) -> Party:
        """The coordination, with the address at which its people read their mail."""
        address = self.config.people.role_contacts.get(Role.PPS_COORDINATOR, self.config.service.reply_to)
        return Party(Role.PPS_COORDINATOR.value, address)

    def in_charge_of(self, site: Site) -> list[str]:
        """Addresses of those who answer for a site beside its own people: its region, and the coordination (SD 3)."""
        regions = [roc.contact for roc in self.config.people.rocs if roc.name == site.roc]
        return list(dict.fromkeys([*regions, self.coordination.address]))

    @property
    def insiders(self) -> frozenset[str]:
        """Addresses that get mail also about what is under embargo: roles, sites and providers; no VO, no region.

        A mail that is about a rollout goes to the sites that it concerns, and to no other.
        """
        people = self.config.people
        sites = (address for site in self.config.sites.values() for address in site.contacts)
        return frozenset(
            address.casefold()
            for address in (*people.role_contacts.values(), *(p.contact for p in people.providers), *sites)
        )

    @cached_property
    def feedback_secret(self) -> bytes:
        """Keys of the invitations to give feedback, the first of which signs; `PPS_FEEDBACK_SECRET`."""
        from pps.activities.people.tokens import keys_in

        secret = os.environ.get("PPS_FEEDBACK_SECRET", "").encode()
        keys_in(secret, _SECRET_BYTES)
        return secret

    def contact_of(self, product: str) -> str:
        """Mail address of a product's provider: what fails goes back there; "" where people.yaml names none."""
        providers = self.config.people.providers
        return next((p.contact for p in providers if p.to_domain().has(product)), "")
