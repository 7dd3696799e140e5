"""StreamSession: what the application calls."""

from deepgram_stream_iter._session.session import StreamSession

__all__ = ["StreamSession"]
