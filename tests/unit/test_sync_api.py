"""The sync session has the names and the parameters of the async one, so that neither gets something that the other lacks."""

from __future__ import annotations

import inspect

import pytest
from conftest import any_client, nova

import deepgram_stream_iter
from deepgram_stream_iter import StreamSession, sync
from deepgram_stream_iter._session.feed import Feed
from deepgram_stream_iter._settings import BufferSettings

ONLY_ASYNC = {
    "aclose",  # close()
}
ONLY_SYNC = {
    "close",  # aclose()
}
NEEDLESS = {
    ("feed", "in_thread"),  # a plain iterable always runs in one
}


def public(kind: type) -> dict[str, object]:
    """Return the public attributes of a class."""
    return {name: value for name, value in inspect.getmembers(kind) if not name.startswith("_")}


def parameters(function: object) -> list[inspect.Parameter]:
    """Return the parameters of a function, with their defaults and annotations."""
    assert callable(function)
    return list(inspect.signature(function).parameters.values())


def test_the_same_names() -> None:
    """Each public name of one session is one of the other, but for those that are listed."""
    assert public(StreamSession).keys() - public(sync.StreamSession).keys() == ONLY_ASYNC
    assert public(sync.StreamSession).keys() - public(StreamSession).keys() == ONLY_SYNC
    assert public(Feed).keys() == public(sync.Feed).keys()


@pytest.mark.parametrize("name", sorted(public(StreamSession).keys() & public(sync.StreamSession).keys()))
def test_the_same_parameters(name: str) -> None:
    """A method of both takes the same parameters, with the same defaults; a property of both is one."""
    one, other = public(StreamSession)[name], public(sync.StreamSession)[name]
    assert isinstance(one, property) == isinstance(other, property)
    if not isinstance(one, property):
        assert parameters(other) == [each for each in parameters(one) if (name, each.name) not in NEEDLESS]
        assert not inspect.iscoroutinefunction(other)


@pytest.mark.parametrize("session", [StreamSession, sync.StreamSession])
def test_the_settings_of_a_subscription(session: type) -> None:
    """Who asks for help sees them with their defaults, which are those of stream(); a misspelt one names `subscribe()`."""
    subscribe = public(session)["subscribe"]
    settings = {each.name: each.default for each in parameters(subscribe) if each.kind is each.KEYWORD_ONLY}
    assert settings.keys() == BufferSettings.__annotations__.keys()
    of_stream = {each.name: each.default for each in parameters(deepgram_stream_iter.stream)}
    assert settings == {name: of_stream[name] for name in settings}
    assert callable(subscribe)
    with pytest.raises(TypeError, match=r"subscribe\(\).*'max_bufer_size'"):
        subscribe(object(), max_bufer_size=3)


def test_the_same_settings() -> None:
    """stream() takes the same parameters, and refuses any other."""
    assert parameters(sync.stream) == parameters(deepgram_stream_iter.stream)
    assert sync.stream.__doc__ != deepgram_stream_iter.stream.__doc__
    with pytest.raises(TypeError, match="max_bufer_size"):
        sync.stream(any_client(), nova(), max_bufer_size=3)  # type: ignore[arg-type]
    assert isinstance(sync.stream(target=any_client(), options=nova()), sync.StreamSession)
