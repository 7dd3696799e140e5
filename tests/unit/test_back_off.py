from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._adapters.failures import connect_error
from deepgram_stream_iter._connection.ending import is_retryable
from deepgram_stream_iter._errors import (
    BufferOverflow,
    CallbackError,
    ConnectError,
    ConnectionLost,
    DeepgramStreamError,
    ServerError,
    SessionClosed,
    StalledError,
)
from deepgram_stream_iter._recovery.back_off import BackOff
from deepgram_stream_iter._settings import Reconnect, ReconnectAttempt

make: Any = Reconnect  # the wrong arguments are the point
LOST = ConnectionLost("Lost", code=1006)
DELAYS = st.floats(1e-3, 86_400)


class Refused(Exception):
    """A refused handshake, as an SDK raises it."""

    def __init__(self, status_code: int) -> None:
        super().__init__(status_code)
        self.status_code = status_code


def the_most(bound_seconds: float) -> float:
    """Take the whole of a delay, for jitter."""
    return bound_seconds


def attempt(back_off: BackOff, cause: Exception) -> ReconnectAttempt | None:
    """Let a connection fail, and ask for the next."""
    back_off.failed(cause)
    return back_off.next()


def granted(back_off: BackOff, cause: Exception = LOST) -> ReconnectAttempt:
    """Let a connection fail, and get the next, which there must be."""
    found = attempt(back_off, cause)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *[(code, True) for code in (1000, 1001, 1005, 1006, 1011, 1012, 1013, 4000, None)],
        *[(code, False) for code in (1002, 1003, 1007, 1008)],
    ],
)
def test_close_codes(code: int | None, expected: bool) -> None:  # noqa: FBT001
    """What another connection would end with too is fatal; other ends that nobody asked for are worth a try."""
    assert is_retryable(ConnectionLost("", code=code)) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, True) for status in (408, 429, 500, 502, 503, 504, 520)],
        *[(status, False) for status in (400, 401, 402, 403, 404, 405, 426)],
    ],
)
def test_refused_handshakes(status: int, expected: bool) -> None:  # noqa: FBT001
    """A server in trouble and too many connections are worth another try; a wrong request or key is not."""
    assert is_retryable(connect_error(Refused(status))) is expected


@pytest.mark.parametrize(
    "failure", [TimeoutError(), ConnectionRefusedError(111, "refused"), OSError("no route")], ids=repr
)
def test_no_answer(failure: Exception) -> None:
    """What the network does may be over the next time."""
    assert is_retryable(connect_error(failure))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StalledError("nothing for 5 s"), True),
        (ConnectError("timed out", is_transient=True), True),
        (ConnectError("wrong header"), False),
        (ServerError("fatal"), False),
        (BufferOverflow(), False),
        (CallbackError(), False),
        (SessionClosed(), False),
        (DeepgramStreamError(), False),
        (ConnectionError("the application's own"), False),
        (ValueError(), False),
        (None, False),
    ],
    ids=repr,
)
def test_other_ends(error: Exception | None, expected: bool) -> None:  # noqa: FBT001
    """A stall is the connection's; a fatal `Error` of Flux, and what our side did, would come again."""
    assert is_retryable(error) is expected


@given(initial=DELAYS, most=DELAYS, attempts=st.integers(1, 12))
def test_the_bound_doubles(initial: float, most: float, attempts: int) -> None:
    """The bound of the delay doubles from the first, up to the most; the jitter has the last word."""
    bounds: list[float] = []

    def jitter(bound_seconds: float) -> float:
        bounds.append(bound_seconds)
        return bound_seconds / 3

    reconnect = Reconnect(max_attempts=attempts, initial_delay_seconds=initial, max_delay_seconds=most)
    back_off = BackOff(reconnect, jitter)
    delays = [granted(back_off).delay for _ in range(attempts)]
    assert bounds == [min(most, initial * 2**number) for number in range(attempts)]
    assert delays == [bound / 3 for bound in bounds]


def test_full_jitter() -> None:
    """Without a jitter of one's own a delay is anywhere between nothing and the bound."""
    reconnect = Reconnect(max_attempts=1000, initial_delay_seconds=1.0, max_delay_seconds=1.0)
    back_off = BackOff(reconnect)
    delays = [granted(back_off).delay for _ in range(1000)]
    assert 0 <= min(delays) < 0.1
    assert 0.9 < max(delays) <= 1.0


@pytest.mark.parametrize(
    ("cause", "delay"),
    [
        (ConnectError("", retry_after_seconds=30.0), 30.25),
        (ConnectError("", retry_after_seconds=0.0), 0.25),
        (ConnectError("", retry_after_seconds=86_400.0), 86_400.0),
        (ConnectError(""), 0.25),
        (LOST, 0.25),
    ],
)
def test_retry_after(cause: Exception, delay: float) -> None:
    """What the server asks for comes on top of the delay, beyond its bound, and for that attempt only."""
    back_off = BackOff(Reconnect(max_delay_seconds=1.0), the_most)
    assert granted(back_off, cause).delay == delay
    assert granted(back_off).delay == 0.5


@given(steps=st.lists(st.booleans(), max_size=40), most=st.integers(1, 5))
def test_the_budget(steps: list[bool], most: int) -> None:
    """Attempts are numbered from 1 and end at `max_attempts`; progress begins anew, delays included."""
    back_off = BackOff(Reconnect(max_attempts=most, initial_delay_seconds=1.0), the_most)
    number = 0
    for is_progress in steps:
        if is_progress:
            back_off.progress()
            number = 0
            continue
        assert back_off.failures == number
        number += 1
        expected = ReconnectAttempt(number=number, cause=LOST, delay=min(8.0, 2.0 ** (number - 1)))
        assert attempt(back_off, LOST) == (expected if number <= most else None)


def test_causes_keep_nothing_alive() -> None:
    """What a cause, and what came before it, was raised in is let go of: all of a lost connection would stay in memory."""

    def fail() -> None:
        try:
            raise OSError("no route")
        except OSError as error:
            raise ConnectionLost("lost", code=None, reason="", request_id="") from error

    with pytest.raises(ConnectionLost) as caught:
        fail()
    lost = caught.value
    BackOff(Reconnect()).failed(lost)
    assert lost.__traceback__ is None
    assert lost.__cause__ is not None
    assert lost.__cause__.__traceback__ is None


def test_causes_in_a_circle() -> None:
    """An error may be its own cause, for all that Python minds."""
    first, second = OSError("first"), OSError("second")
    first.__cause__, second.__context__ = second, first
    BackOff(Reconnect()).failed(first)
    assert second.__traceback__ is None


def test_giving_up() -> None:
    """The error has every cause since the last progress, in order, and what is known of the last one."""
    before, last = (
        ConnectionLost("Before", code=1011),
        ConnectionLost("Closed by the server", code=1012, reason="restart", request_id="abc"),
    )
    refused = ConnectError("Refused", status=503, reason="busy", request_id="def", is_transient=True)
    back_off = BackOff(Reconnect(max_attempts=2))
    granted(back_off, before)
    back_off.progress()
    granted(back_off, LOST)
    granted(back_off, refused)
    assert attempt(back_off, last) is None
    lost = back_off.gave_up("2 attempts")
    assert type(lost) is ConnectionLost
    assert lost.causes == (LOST, refused, last)
    assert str(lost) == "Closed by the server (2 attempts)"
    assert (lost.code, lost.reason, lost.request_id) == (1012, "restart", "abc")
    assert lost.__cause__ is last


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (ConnectError("Refused", status=503, reason="busy", request_id="def"), (None, "busy", "def")),
        (OSError("what `on_attempt` or a factory raised"), (None, "", "")),
    ],
)
def test_giving_up_without_a_connection(cause: Exception, expected: tuple[object, ...]) -> None:
    """Where the last attempt came to no connection there is no close code, and no more than is known."""
    back_off = BackOff(Reconnect())
    granted(back_off, cause)
    lost = back_off.gave_up("stopped")
    assert (lost.code, lost.reason, lost.request_id) == expected
    assert lost.causes == (cause,)


@pytest.mark.parametrize(("initial", "most"), [(0.25, 8.0), (86_400, 86_400), (5e-324, 1.0)])
def test_attempts_without_end(initial: float, most: float) -> None:
    """However many attempts there were, the delay is a number within its bound."""
    reconnect = Reconnect(max_attempts=5000, initial_delay_seconds=initial, max_delay_seconds=most)
    for jitter in ({}, {"jitter": the_most}):
        back_off = BackOff(reconnect, **jitter)
        assert all(0 <= granted(back_off).delay <= most for _ in range(5000))


def test_the_defaults() -> None:
    """The defaults are allowed, and so is the least that makes sense."""
    assert Reconnect().max_attempts == 8
    assert Reconnect(max_attempts=1, catch_up_rate=1.01, on_attempt=print).on_attempt is print


@pytest.mark.parametrize(
    "name", ["initial_delay_seconds", "max_delay_seconds", "replay_seconds", "catch_up_rate"]
)
@pytest.mark.parametrize("value", [-1.0, math.nan, "1", None, True])
def test_wrong_numbers(name: str, value: object) -> None:
    """What is no number, or none that makes sense, is refused with the name of the setting and the value."""
    with pytest.raises(
        ValueError, match=rf"{name} must be a number (above|of at least) [01].*, not {value!r}"
    ):
        make(**{name: value})


@pytest.mark.parametrize("name", ["initial_delay_seconds", "max_delay_seconds", "replay_seconds"])
def test_without_end(name: str) -> None:
    """Delays and memories have an end."""
    with pytest.raises(ValueError, match=f"{name} must be a number .* 0 and at most 86400, not inf"):
        make(**{name: math.inf})


def test_a_delay_of_nothing() -> None:
    """Who does not want to wait need not; a memory of nothing is none."""
    none = BackOff(Reconnect(initial_delay_seconds=0, max_delay_seconds=0), the_most)
    assert granted(none).delay == 0
    with pytest.raises(ValueError, match="replay_seconds must be a number above 0"):
        Reconnect(replay_seconds=0)


def test_a_rate_that_never_catches_up() -> None:
    """At the speed of the clock what waits would wait for ever."""
    with pytest.raises(ValueError, match="catch_up_rate must be a number above 1, not 1"):
        Reconnect(catch_up_rate=1)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "8", None])
def test_wrong_attempts(value: object) -> None:
    """Attempts are counted, from 1."""
    with pytest.raises(ValueError, match=f"max_attempts must be a whole number of at least 1, not {value!r}"):
        make(max_attempts=value)


@pytest.mark.parametrize("value", ["print", 5])
def test_on_attempt_is_called(value: object) -> None:
    """What cannot be called is refused at once, not at the first outage."""
    with pytest.raises(TypeError, match="on_attempt must be a function"):
        make(on_attempt=value)


def test_an_attempt_can_be_stopped() -> None:
    """`stop()` is all that `on_attempt` needs to know."""
    stopped = granted(BackOff(Reconnect()))
    assert not stopped.is_stopped
    stopped.stop()
    assert stopped.is_stopped
