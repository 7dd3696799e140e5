"""Utterances and turns as the consumer sees them: by what was handed out, not by what has arrived."""

from __future__ import annotations

import pytest
from conftest import Connect, flux, nova

from deepgram_stream_iter import ConnectionLost, StreamEvent, Utterance
from deepgram_stream_iter.testing import DeepgramServer, Message, ServerConnection, messages


def final(text: str, start: float, *, speech_final: bool = False, channel: int = 0) -> dict[str, object]:
    """Make a final transcript."""
    return messages.results(
        text, start=start, is_final=True, speech_final=speech_final, channel=channel, channels=2
    )


CONVERSATION: list[Message] = [
    messages.results("the", start=0.0),
    final("the first", 0.0),
    final("utterance", 1.0, speech_final=True),
    messages.utterance_end(2.0),  # says nothing new
    final("the second", 4.0),
    messages.utterance_end(5.0),
    final("", 6.0),
    final("and a rest", 7.0),
]


async def test_accumulated_transcript_follows_what_was_handed_out(connect: Connect) -> None:
    """A consumer that is late by everything sees its own utterance at each UtteranceEnd."""
    async with DeepgramServer(script=CONVERSATION) as server, connect(server, nova()) as session:
        await session.finish()  # all of it has arrived before the first event is handed out
        seen = [(event.type, session.accumulated_transcript) async for event in session]
    assert seen == [
        ("transcript", ""),
        ("transcript", "the first"),
        ("transcript", "the first utterance"),
        ("utterance_end", "the first utterance"),
        ("transcript", "the second"),
        ("utterance_end", "the second"),
        ("transcript", "the second"),
        ("transcript", "and a rest"),
        ("metadata", "and a rest"),
    ]
    assert session.transcript == "the first utterance the second and a rest"


async def test_utterances(connect: Connect) -> None:
    """Deepgram's rule: speech_final, else UtteranceEnd, else the end of the stream."""
    async with DeepgramServer(script=CONVERSATION) as server, connect(server, nova()) as session:
        session.feed([])
        got = [utterance async for utterance in session.utterances()]
        assert [(u.text, u.confirmed) for u in got] == [
            ("the first utterance", True),
            ("the second", True),
            ("and a rest", False),
        ]
        assert (got[0].start, got[0].end, got[0].channel_index, got[0].turn_index) == (0.0, 2.0, 0, None)
        assert [word.word for word in got[0].words] == ["the", "first", "utterance"]
        assert [utterance async for utterance in session.utterances()] == []


async def test_utterances_are_by_channel(connect: Connect) -> None:
    """With several channels each has its own utterances, and the accumulated text is that of the last event's."""
    script = [final("left", 0.0), final("right", 0.0, channel=1), final("side", 1.0, speech_final=True)]
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(multichannel=True, channels=2)) as session:
            session.feed([])
            texts = [session.accumulated_transcript async for event in session if event.type == "transcript"]
            assert texts == ["left", "right", "left side"]
        async with connect(server, nova(multichannel=True, channels=2)) as session:
            session.feed([])
            got = [(u.channel_index, u.text, u.confirmed) async for u in session.utterances()]
            assert got == [(0, "left side", True), (1, "right", False)]


async def test_a_break_out_of_utterances_goes_on(connect: Connect) -> None:
    """What was accumulated before a break is not lost for the next loop."""

    async def script(connection: ServerConnection) -> None:
        for message in CONVERSATION:
            await connection.send(message)

    async with DeepgramServer(script=script) as server, connect(server, nova()) as session:
        async for utterance in session.utterances():
            assert utterance.text == "the first utterance"
            break
        assert isinstance(await anext(session), StreamEvent.UtteranceEnd)
        assert isinstance(await anext(session), StreamEvent.Transcript)  # "the second", not ended yet
        async for utterance in session.utterances():
            assert utterance.text == "the second"
            break


async def test_flux_turns(connect: Connect) -> None:
    """For Flux there is an utterance for each turn; one that the stream cuts off is unconfirmed."""
    script = [
        messages.turn_info("StartOfTurn", "good", turn_index=0),
        messages.turn_info("EagerEndOfTurn", "good day", turn_index=0),
        messages.turn_info("TurnResumed", "good day to", turn_index=0),
        messages.turn_info("EndOfTurn", "good day to you", turn_index=0, trigger="model"),
        messages.turn_info("StartOfTurn", "and", turn_index=1),
        messages.turn_info("Update", "and to", turn_index=1),
    ]
    async with DeepgramServer(script=script) as server:
        async with connect(server, flux()) as session:
            session.feed([])
            got = [(u.text, u.turn_index, u.confirmed) async for u in session.utterances()]
            assert got == [("good day to you", 0, True), ("and to", 1, False)]
        async with connect(server, flux()) as session:
            await session.finish()
            seen = [(event.type, session.accumulated_transcript) async for event in session]
            assert seen[2:] == [
                ("eager_end_of_turn", "good day"),
                ("turn_resumed", "good day to"),
                ("end_of_turn", "good day to you"),
                ("start_of_turn", "and"),
                ("turn_update", "and to"),
                ("end_of_turn", "and to"),
            ]


async def test_leaving_between_the_last_utterance_and_the_error(connect: Connect) -> None:
    """Who takes the utterance that a loss cuts off has not seen the loss yet: the exit raises it."""

    async def script(connection: ServerConnection) -> None:
        await connection.send(final("cut", 0.0))
        await connection.close(1011)

    async with DeepgramServer(script=script) as server:
        with pytest.raises(ConnectionLost, match="1011"):
            async with connect(server, nova()) as session:
                assert (await anext(session.utterances())).text == "cut"


@pytest.mark.parametrize("flavour", ["nova", "flux"])
async def test_a_lost_connection_still_gives_what_there_was(connect: Connect, flavour: str) -> None:
    """The words of an utterance that a loss cuts off come out before the error does; the exit does not repeat it."""

    async def script(connection: ServerConnection) -> None:
        await connection.send(
            final("cut", 0.0) if flavour == "nova" else messages.turn_info("StartOfTurn", "cut")
        )
        await connection.close(1011)

    options = nova() if flavour == "nova" else flux()
    async with DeepgramServer(script=script) as server, connect(server, options) as session:
        got: list[Utterance] = []
        with pytest.raises(ConnectionLost):
            async for utterance in session.utterances():
                got.append(utterance)  # noqa: PERF401  (a comprehension would lose them to the error)
        assert [(u.text, u.confirmed) for u in got] == [("cut", False)]
