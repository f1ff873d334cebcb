"""Sign in by OpenID Connect: whoever the provider knows, with the roles that their groups have.

For FAB's file of settings (deploy/etc-pps/webserver_config.py): `SECURITY_MANAGER_CLASS = OidcSecurityManager`. FAB
itself knows some providers by name and reads each in its own way; this one reads the standard's user info of any.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride

#: What a user name may be: it stands in registries of ours and in facts. Anything else is no user, and is not mended.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_MOST_GROUPS = 500
_log = logging.getLogger(__name__)


class OidcSecurityManager(FabAirflowSecurityManagerOverride):
    """FAB's, with the user info of OpenID Connect: `preferred_username`, `email`, names, `groups`."""

    def get_oauth_user_info(self, provider: str, resp: dict[str, Any]) -> dict[str, Any]:
        """Who has signed in; an empty user name lets FAB refuse them."""
        claims = self.oauth_remotes[provider].userinfo(token=resp)
        name, groups = claims.get("preferred_username"), claims.get("groups", [])
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            _log.warning("Somebody whom %s knows has no preferred_username that is a user name of ours.", provider)
            return {"username": ""}
        email = claims.get("email")
        return {
            "username": name,
            # an address that nobody has proved to be theirs is none
            "email": email if isinstance(email, str) and claims.get("email_verified") is not False else "",
            "first_name": str(claims.get("given_name") or "")[:200],
            "last_name": str(claims.get("family_name") or "")[:200],
            "role_keys": [str(group) for group in groups][:_MOST_GROUPS] if isinstance(groups, list) else [],
        }
