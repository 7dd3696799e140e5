"""What can be made to go wrong, and how it spoils a message on its way out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._recognition import Message

_TRANSCRIPTS = {"Results": ("type", "is_final"), "TurnInfo": ("type", "event")}
"""The message types that carry a transcript, and the few fields that `missing_fields` leaves of them."""


@dataclass(kw_only=True)
class Faults:
    """What goes wrong. All off by default; any may be switched while connections are open.

    The server's `faults` hold for all its connections. To spoil one alone, give it its own, which then hold in
    place of the server's for all but the handshake::

        async def script(connection: ServerConnection) -> None:
            await connection.audio_reached(1.0)
            if connection is server.connections[0]:
                connection.faults = Faults(mute=True)
    """

    refuse_status: int | None = None
    """Refuse every handshake with this HTTP status."""
    refuse_error: str = ""
    """The `dg-error` header of such a refusal; empty: none."""
    retry_after: float | str | None = None
    """The `Retry-After` header of such a refusal: seconds, or the text that it is, such as an HTTP date."""
    hang_handshake: bool = False
    """Never answer a handshake."""
    no_connected: bool = False
    """/v2/listen: open without `Connected`."""
    late_final_seconds: float = 0.0
    """Answer `CloseStream` (the last finals and all that follows) that much later."""
    no_metadata: bool = False
    """/v1/listen: leave out the `Metadata` at the end."""
    no_close: bool = False
    """Never close after `CloseStream`."""
    close_code: int | None = None
    """Close with this code after `CloseStream`; 1005: without a status, 1006: drop the connection."""
    close_reason: str = ""
    """The reason that goes with `close_code`."""
    drop_at_audio_seconds: float | None = None
    """End the connection when that much audio has come; the piece that completes it is not recognised."""
    drop_code: int = 1006
    """The code of that end; 1006: drop the connection."""
    mute: bool = False
    """Send no message and no close any more; handshakes, pongs and the reply to a close frame still work."""
    frozen: bool = False
    """Read nothing any more once the handshake is through: no pongs, no close replies. For good."""
    bad_json: bool = False
    """Cut the JSON of each `Results` and `TurnInfo` short."""
    unknown_types: bool = False
    """Send a message of a type that nobody knows before each `Results` and `TurnInfo`."""
    missing_fields: bool = False
    """Send `Results` with `type` and `is_final` alone, `TurnInfo` with `type` and `event` alone."""
    configure_failure: tuple[str, str] | None = None
    """Answer `Configure` with a `ConfigureFailure` of this code and description."""
    no_finalize_answer: bool = False
    """/v1/listen: ignore `Finalize`."""


def frames_of(message: Message, faults: Faults) -> list[str | bytes]:
    """Encode a message as the frames that go out for it, spoiled as `faults` says."""
    if not isinstance(message, Mapping):
        return [message]
    kept = _TRANSCRIPTS.get(str(message.get("type")))
    if kept is None:
        return [json.dumps(message)]
    if faults.missing_fields:
        message = {field: message[field] for field in kept if field in message}
    text = json.dumps(message)
    if faults.bad_json:
        text = text[: len(text) // 2]
    if faults.unknown_types:
        return [json.dumps({"type": "Horoscope", "sign": "Leo"}), text]
    return [text]
