"""What `transcribe.py` shows. Nothing here knows how the events came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepgram_stream_iter import StreamEvent, StreamSession


class Screen:
    """Prints what is final; below it, on a terminal, the interim text and a progress bar come and go."""

    def __init__(self, seconds: float) -> None:
        # Where stdout is no terminal, a transient Live prints nothing: the finals come out as plain lines.
        self._console = Console(highlight=False)
        self._progress = Progress(
            BarColumn(), TextColumn("{task.completed:.1f} of {task.total:.1f} s sent"), console=self._console
        )
        self._task = self._progress.add_task("", total=seconds)
        self.live = Live(self._progress, console=self._console, transient=True, refresh_per_second=10)

    def watch(self, pieces: Iterator[bytes], bytes_per_second: int) -> Iterator[bytes]:
        """Pass the pieces on and move the bar as they are taken."""
        for piece in pieces:
            yield piece
            self._progress.advance(self._task, len(piece) / bytes_per_second)

    def show_interim(self, text: str) -> None:
        """Replace the live text."""
        self.live.update(Group(Text(text, style="dim italic"), self._progress), refresh=True)

    def show_final(self, event: StreamEvent.Transcript) -> None:
        """Print a segment and when its words were said."""
        self.live.update(self._progress, refresh=True)
        if event.transcript:
            words = (
                f"{word.punctuated_word or word.word}[{_seconds(word.start)}-{_seconds(word.end)}]"
                for word in event.words
            )
            self._print(f"{_seconds(event.start)} s", event.transcript, "bold")
            self._print("", " ".join(words), "dim")

    def show_utterance(self, text: str) -> None:
        """Print that an utterance has ended."""
        self._print("utterance", text, "green")
        self._console.print()

    def show_summary(self, session: StreamSession) -> None:
        """Print the whole text and what the session counted."""
        stats = session.stats
        self._print("transcript", session.transcript, "bold")
        self._console.print()
        for name, value in {
            "audio sent": f"{_seconds(stats.audio_seconds_sent)} s",
            "audio finalized": f"{_seconds(stats.audio_seconds_finalized)} s",
            "events": f"{stats.events}, {stats.interims_coalesced} coalesced, {stats.dropped} dropped",
            "most buffered": f"{stats.buffered_max}",
            "keepalives sent": f"{stats.keepalives_sent}",
            "request id": f"{session.request_id}",
        }.items():
            self._print(name, value, "dim")

    def _print(self, label: str, text: str, style: str) -> None:
        row = Table.grid(padding=(0, 2))
        row.add_column(width=15, justify="right", style="cyan")
        row.add_column(style=style)
        row.add_row(Text(label), Text(text))
        self._console.print(row)


def _seconds(position: float | None) -> str:
    return "?" if position is None else f"{position:.2f}"
