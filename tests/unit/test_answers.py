"""How long the server has owed an answer."""

from __future__ import annotations

import pytest

from deepgram_stream_iter._answers import PAUSE_SECONDS, AnswerClock


@pytest.fixture
def clock() -> AnswerClock:
    """Give a clock to which audio went out from 10 s to 12.5 s, every 0.5 s."""
    answers = AnswerClock()
    for tick in range(20, 25):
        answers.sending(tick / 2)
        answers.sent(tick / 2, 0.5)
    return answers


def test_nothing_is_owed_before_audio_goes_out() -> None:
    """A server may be silent where it has nothing to say anything to."""
    assert AnswerClock().owed_seconds(100) == 0


def test_owed_since_the_first_audio(clock: AnswerClock) -> None:
    """What counts is the first audio that was not answered, not the last."""
    assert clock.owed_seconds(12) == 2


def test_an_answer_settles_it(clock: AnswerClock) -> None:
    """After an answer it begins with the next audio."""
    clock.answered()
    assert clock.owed_seconds(12) == 0
    clock.sending(12.5)
    assert clock.owed_seconds(13) == 0.5


def test_a_pause_begins_it_anew(clock: AnswerClock) -> None:
    """While the application pauses nothing is owed, and afterwards nothing for what came before."""
    assert clock.owed_seconds(12.5 + PAUSE_SECONDS) == 2.5 + PAUSE_SECONDS
    assert clock.owed_seconds(12.6 + PAUSE_SECONDS) == 0
    clock.sending(20)
    clock.sent(20, 0.5)
    assert clock.owed_seconds(20.5) == 0.5


def test_audio_that_is_ahead_of_the_clock(clock: AnswerClock) -> None:
    """A file that was sent in no time goes on for as long as it plays: the server has all of that to answer."""
    clock.sending(12.5)
    clock.sent(12.5, 30.0)
    assert clock.owed_seconds(42) == 32
    assert clock.owed_seconds(42.6 + PAUSE_SECONDS) == 0


def test_large_pieces() -> None:
    """Pieces of more than a second, each when it is over, are no pauses."""
    clock = AnswerClock()
    for piece in range(10):
        clock.sending(piece * 1.2)
        clock.sent(piece * 1.2, 1.2)
    assert clock.owed_seconds(10.8) == pytest.approx(10.8)


def test_slices_of_a_browser() -> None:
    """Of audio whose bytes are not time, pieces up to 3 s apart are one stream, however many there are of them."""
    clock = AnswerClock()
    for second in range(10):
        clock.sending(second)
        clock.sent(second, None)
    assert clock.owed_seconds(12) == 12
    assert clock.owed_seconds(12.1) == 0


def test_a_socket_that_takes_nothing_is_no_pause(clock: AnswerClock) -> None:
    """Audio that is on its way into the socket goes out, however long that takes; and after CloseStream nobody pauses."""
    clock.sending(12.5)
    assert clock.owed_seconds(60) == 50


def test_held_back(clock: AnswerClock) -> None:
    """What the server says while the application does not listen is not heard, which is not its fault."""
    clock.is_held_back = True
    assert clock.owed_seconds(12) == 0
