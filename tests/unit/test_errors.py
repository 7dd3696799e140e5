from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from deepgram_stream_iter import _errors
from deepgram_stream_iter._errors import (
    BufferOverflow,
    CallbackError,
    ConfigureError,
    ConnectError,
    ConnectionLost,
    DeepgramStreamError,
    ServerError,
    SessionClosed,
    StalledError,
)

ERRORS = (
    ConnectError("refused", status=401, reason="no such key", request_id="r-1"),
    ConnectionLost("lost", code=1011, reason="NET-0001", request_id="r-1"),
    ServerError("ended", code="INTERNAL", description="a fault"),
    ConfigureError("not that", code="NO_KEYTERMS", description="not on this model"),
    BufferOverflow("too slow"),
    SessionClosed("over"),
    CallbackError("a handler raised"),
    StalledError("nothing was said", reason="nothing was said"),
)
NO_RETRY = {"retry_after_seconds": None, "is_transient": False}
each_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


@each_error
def test_one_clause_catches_all(error: DeepgramStreamError) -> None:
    """Every error is a DeepgramStreamError; those about the connection, and no others, a ConnectionError."""
    assert isinstance(error, DeepgramStreamError)
    assert isinstance(error, ConnectionError) == isinstance(error, (ConnectError, ConnectionLost))


def test_the_tree_is_drawn_whole() -> None:
    """The module's docstring names every error there is, and all of them are tried here."""
    children = DeepgramStreamError.__subclasses__()
    kinds = {kind.__name__ for kind in [*children, *ConnectionLost.__subclasses__()]}
    assert kinds == {type(error).__name__ for error in ERRORS}
    assert all(f"── {kind} " in (_errors.__doc__ or "") for kind in kinds)


@each_error
def test_the_message_is_what_is_printed(error: DeepgramStreamError) -> None:
    """`str` is the message alone and `repr` names the class, though two of them are an OSError as well."""
    (message,) = error.args
    assert str(error) == message
    assert repr(error) == f"{type(error).__name__}({message!r})"


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (ERRORS[0], {"status": 401, "reason": "no such key", "request_id": "r-1", **NO_RETRY}),
        (ERRORS[1], {"code": 1011, "reason": "NET-0001", "request_id": "r-1", "causes": ()}),
        (ERRORS[2], {"code": "INTERNAL", "description": "a fault"}),
        (ERRORS[3], {"code": "NO_KEYTERMS", "description": "not on this model"}),
        (ConnectError("x"), {"status": None, "reason": "", "request_id": "", **NO_RETRY}),
        (ConnectionLost("x"), {"code": None, "reason": "", "request_id": "", "causes": ()}),
        (ServerError("x"), {"code": "", "description": ""}),
        (ConfigureError("x"), {"code": "", "description": ""}),
    ],
)
def test_attributes(error: DeepgramStreamError, attributes: dict[str, object]) -> None:
    """What an error knows is on it by name, and empty where nobody said."""
    assert vars(error) == attributes


@each_error
@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, lambda error: pickle.loads(pickle.dumps(error))],  # noqa: S301  (its own)
    ids=["copy", "pickle"],
)
def test_errors_travel(error: DeepgramStreamError, duplicate: Callable[[object], object]) -> None:
    """An error is whole after a copy and after the way to another process."""
    twin = duplicate(error)
    assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))
