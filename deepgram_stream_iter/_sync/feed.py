"""What `feed()` of a sync session returns."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from deepgram_stream_iter._session import feed


class Feed:
    """A source that is sent in the background; see `deepgram_stream_iter.Feed`."""

    def __init__(
        self, ask: Callable[[Callable[[], Coroutine[Any, Any, None]]], None], fed: feed.Feed
    ) -> None:
        self._ask, self._fed = ask, fed

    @property
    def is_running(self) -> bool:
        """Whether there may be more to send."""
        return self._fed.is_running

    def wait(self) -> None:
        """Wait until the source is through, and all of it is sent; raises as the async one does."""
        self._ask(self._fed.wait)
