"""GOCDB's answers, of our own making: its elements, our places."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

HOST_KEY = "ssh-ed25519 " + "A" * 68

#: All that a site says that wants to take part.
USABLE = (
    ("PPS_PREVIEWS", "yes"),
    ("PPS_PLATFORM", "debian12-amd64"),
    ("PPS_SSH_HOST", "ui.it-perugia.example.org"),
    ("PPS_SSH_PORT", "2222"),
    ("PPS_SSH_USER", "ppsadm"),
    ("PPS_SSH_HOST_KEY", HOST_KEY),
    ("PPS_PREVIEW_ROOT", "/opt/pps"),
    ("PPS_PRODUCTION_ROOT", "/opt/glite"),
    ("PPS_PROFILE_D", "/etc/profile.d"),
    ("PPS_TAG_DIR", "/opt/glite/var/info"),
    ("PPS_SUBCLUSTER", "ce01.it-perugia.example.org"),
)


def _elements(values: dict[str, str]) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in values.items())


def site(name: str, extensions: Iterable[tuple[str, str]] = (), **different: str) -> str:
    """A SITE of get_site; `different` by element name, "" leaves the element empty."""
    values = {
        "SHORT_NAME": name,
        "OFFICIAL_NAME": f"Computing at {name}",
        "GIIS_URL": f"ldap://bdii.{name.lower()}.example.org:2170/o=grid",
        "COUNTRY": "Italy",
        "ROC": "Italy",
        "PRODUCTION_INFRASTRUCTURE": "Production",
        "CERTIFICATION_STATUS": "Certified",
        "TIMEZONE": "Europe/Rome",
        "LATITUDE": "43.1",
        "LONGITUDE": "12.4",
        "CONTACT_EMAIL": f"grid-admin@{name.lower()}.example.org",
        "CSIRT_EMAIL": f"security@{name.lower()}.example.org",
        **different,
    }
    listed = "".join(
        f"<EXTENSION><LOCAL_ID>1</LOCAL_ID><KEY>{escape(k)}</KEY><VALUE>{escape(v)}</VALUE></EXTENSION>"
        for k, v in extensions
    )
    scopes = "<SCOPES><SCOPE>EGI</SCOPE></SCOPES>"
    return f"<SITE>{_elements(values)}{scopes}<EXTENSIONS>{listed}</EXTENSIONS></SITE>"


def service(site: str, kind: str = "CREAM-CE", host: str = "", in_production: str = "Y") -> str:
    """A SERVICE_ENDPOINT of get_service."""
    values = {
        "HOSTNAME": host or f"ce01.{site.lower()}.example.org",
        "BETA": "N",
        "SERVICE_TYPE": kind,
        "IN_PRODUCTION": in_production,
        "NODE_MONITORED": "Y",
        "SITENAME": site,
    }
    return f'<SERVICE_ENDPOINT PRIMARY_KEY="1G0">{_elements(values)}</SERVICE_ENDPOINT>'


def document(*records: str) -> str:
    """A whole answer."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n<results>' + "\n".join(records) + "</results>\n"
