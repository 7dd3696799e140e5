"""How long the server has owed an answer."""

from __future__ import annotations

import pytest

from deepgram_stream_iter._connection.stall import PAUSE_SECONDS, StallTimer


@pytest.fixture
def timer() -> StallTimer:
    """Return a timer to which audio went out from 10 s to 12.5 s, every 0.5 s."""
    timer = StallTimer(10.0)
    for tick in range(20, 25):
        timer.sending(tick / 2)
        timer.sent(tick / 2, 0.5)
    return timer


def test_nothing_is_owed_before_audio_goes_out() -> None:
    """A server may be silent where it has nothing to say anything to."""
    assert StallTimer(10.0).owed_seconds(100) == 0


def test_owed_since_the_first_audio(timer: StallTimer) -> None:
    """What counts is the first audio that was not answered, not the last."""
    assert timer.owed_seconds(12) == 2


def test_when_it_will_have_taken_too_long(timer: StallTimer) -> None:
    """After its time from the first audio that was not answered; a pause of the SDK, in which nobody hears, is no part."""
    assert timer.due(12, is_paused=False) == 20
    assert timer.due(12, is_paused=True) == 22


def test_an_answer_settles_it(timer: StallTimer) -> None:
    """After an answer it begins with the next audio."""
    timer.answered()
    assert timer.owed_seconds(12) == 0
    timer.sending(12.5)
    assert timer.owed_seconds(13) == 0.5


def test_a_pause_begins_it_anew(timer: StallTimer) -> None:
    """While the application pauses nothing is owed, and afterwards nothing for what came before."""
    assert timer.owed_seconds(12.5 + PAUSE_SECONDS) == 2.5 + PAUSE_SECONDS
    assert timer.owed_seconds(12.6 + PAUSE_SECONDS) == 0
    timer.sending(20)
    timer.sent(20, 0.5)
    assert timer.owed_seconds(20.5) == 0.5


def test_audio_that_is_ahead_of_the_clock(timer: StallTimer) -> None:
    """A file that was sent in no time goes on for as long as it plays: the server has all of that to answer."""
    timer.sending(12.5)
    timer.sent(12.5, 30.0)
    assert timer.owed_seconds(42) == 32
    assert timer.owed_seconds(42.6 + PAUSE_SECONDS) == 0


def test_large_pieces() -> None:
    """Pieces of more than a second, each when it is over, are no pauses."""
    timer = StallTimer(10.0)
    for piece in range(10):
        timer.sending(piece * 1.2)
        timer.sent(piece * 1.2, 1.2)
    assert timer.owed_seconds(10.8) == pytest.approx(10.8)


def test_slices_of_a_browser() -> None:
    """Of audio whose bytes are not time, pieces up to 3 s apart are one stream, however many there are of them."""
    timer = StallTimer(10.0)
    for second in range(10):
        timer.sending(second)
        timer.sent(second, None)
    assert timer.owed_seconds(12) == 12
    assert timer.owed_seconds(12.1) == 0


def test_a_socket_that_takes_nothing_is_no_pause(timer: StallTimer) -> None:
    """Audio that is on its way into the socket goes out, however long that takes; and after CloseStream nobody pauses."""
    timer.sending(12.5)
    assert timer.owed_seconds(60) == 50
