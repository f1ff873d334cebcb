"""PPS Rollout: from "it passed first certification" to "it is in production at every site"."""

__version__ = "0.1.0"
