"""StreamSession: what the application calls."""

from .session import StreamSession

__all__ = ["StreamSession"]
