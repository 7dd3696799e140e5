"""What `feed()` of a sync session returns."""

from __future__ import annotations

import contextlib

from deepgram_stream_iter._session import feed
from deepgram_stream_iter._sync.loop_thread import LoopReleased
from deepgram_stream_iter._sync.running import Running


class Feed:
    """A source that is sent in the background; see `deepgram_stream_iter.Feed`."""

    def __init__(self, running: Running, fed: feed.Feed) -> None:
        self._running, self._fed = running, fed

    @property
    def is_running(self) -> bool:
        """Whether there may be more to send."""
        return self._fed.is_running

    def wait(self) -> None:
        """Wait until the source is through, and all of it is sent; raises as the async one does."""
        with contextlib.suppress(LoopReleased):
            self._running.lease.call(self._fed.wait)
            return
        # The session was left, and the source has ended by then.
        source = self._fed._source  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  (of what it stands for)
        if not source.is_through:
            raise source.error or self._running.ended()
