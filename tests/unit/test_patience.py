"""How long the end of the stream is waited for."""

from __future__ import annotations

import math

import anyio
import pytest

from deepgram_stream_iter._life import patience as patience_module
from deepgram_stream_iter._life.patience import Patience


async def test_each_wait_and_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait has its time-out, a replay all the time there is, and all of them together no more than that."""
    time = 100.0
    monkeypatch.setattr(patience_module, "now", lambda: time)
    patience = Patience(2.0)
    patience.renew()
    assert patience.scope.deadline == math.inf  # nobody has asked for the end yet
    patience.begin(3.0, is_replay=False)
    assert patience.scope.deadline == 102
    time = 101.0
    patience.renew(is_replay=True)
    assert patience.scope.deadline == 105
    patience.renew()
    assert patience.scope.deadline == 103
    time = 104.0
    patience.renew()
    assert patience.scope.deadline == 105


async def test_the_end_is_asked_for_during_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay has all the time there is at once."""
    monkeypatch.setattr(patience_module, "now", lambda: 100.0)
    patience = Patience(2.0)
    patience.begin(3.0, is_replay=True)
    assert patience.scope.deadline == 105


async def test_cutting_it_short() -> None:
    """The wait ends at once; where the time was up before, it stays a time-out."""
    patience = Patience(2.0)
    with patience.scope:
        patience.cut_short()
        await anyio.sleep_forever()
    assert patience.is_cut_short
    patience = Patience(0.001)
    with patience.scope:
        patience.begin(0.0, is_replay=False)
        try:
            await anyio.sleep_forever()
        finally:
            patience.cut_short()
    assert not patience.is_cut_short
