"""What the front ends (CLI, web, DAGs) work with: the adapters, put together from config/ when first asked for."""

from pps.services.base import Credentials, clean_root_cache, credentials_from_environment, private_folder
from pps.services.releases import Releases
from pps.services.repositories import SIGNING_CONNECTIONS
from pps.services.sites import Sites

__all__ = [
    "SIGNING_CONNECTIONS",
    "Credentials",
    "Services",
    "clean_root_cache",
    "credentials_from_environment",
    "private_folder",
]


class Services(Releases, Sites):
    """The adapters behind their ports. Each is made when first asked for, so that a page or a
    command needs only those parts of the configuration that it really uses.
    """
