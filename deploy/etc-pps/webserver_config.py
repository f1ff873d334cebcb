"""People sign in by OpenID Connect: /etc/pps/webserver_config.py, for AIRFLOW__FAB__CONFIG_FILE (production.md, 5).

Change the two addresses and the groups. The client's secret is PPS_OIDC_CLIENT_SECRET in pps.env, never here.
"""

import os

from flask_appbuilder.const import AUTH_OAUTH

from pps.orchestration.oidc import OidcSecurityManager

AUTH_TYPE = AUTH_OAUTH
SECURITY_MANAGER_CLASS = OidcSecurityManager
WTF_CSRF_ENABLED = True

# Whoever the provider knows has an account; what they may do, their groups say, anew at each login.
AUTH_USER_REGISTRATION = True
AUTH_USER_REGISTRATION_ROLE = "Public"
AUTH_ROLES_SYNC_AT_LOGIN = True
AUTH_ROLES_MAPPING = {
    "pps-admins": ["Admin"],
    "pps-release-managers": ["Release Manager"],
    "pps-coordination": ["PPS Coordinator"],
    "pps-emt": ["EMT"],
    "pps-sites": ["Site Administrator"],  # whose site, sites.yaml says: administrators
    "pps-regions": ["Regional Manager"],  # whose region, people.yaml says: managers
    "pps-vos": ["VO Representative"],  # whose VO, people.yaml says: representatives
    "pps-providers": ["Software Provider"],
}

OAUTH_PROVIDERS = [
    {
        "name": "oidc",
        "icon": "fa-key",
        "token_key": "access_token",
        "remote_app": {
            "client_id": os.environ.get("PPS_OIDC_CLIENT_ID", "pps-rollout"),
            "client_secret": os.environ["PPS_OIDC_CLIENT_SECRET"],
            "server_metadata_url": os.environ.get(
                "PPS_OIDC_METADATA", "https://login.example.org/realms/grid/.well-known/openid-configuration"
            ),
            # many providers want a scope of its own for groups, others a mapper of theirs
            "client_kwargs": {
                "scope": os.environ.get("PPS_OIDC_SCOPE", "openid email profile"),
                "code_challenge_method": "S256",
            },
        },
    }
]
