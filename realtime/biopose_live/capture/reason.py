"""The cause of a failure in the system's own words, for the brackets of a sentence."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    """-> the system's or FFmpeg's words for `error`, without the address (which may hold a password)."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
