"""StreamSession, Feed and Subscription: what the application calls."""

from deepgram_stream_iter._session.feed import Feed
from deepgram_stream_iter._session.session import StreamSession
from deepgram_stream_iter._session.subscription import Subscription

__all__ = ["Feed", "StreamSession", "Subscription"]
