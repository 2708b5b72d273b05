"""Server-sent events, as the HTML standard describes them: bytes in, messages out."""

from __future__ import annotations

from typing import Iterator, List, NamedTuple

from .errors import BrainjarError

# How long one line may be, in bytes. More is no event of brainjar's.
MAX_LINE = 4 << 20


class Message(NamedTuple):
    """One event of a stream: its name, its data, and the last id there was."""

    event: str
    data: str
    id: str


class Parser:
    """Takes a stream in pieces, however they are cut."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._event = ""
        self._data: List[str] = []
        self.last_id = ""  # to go on from, also if no message came with it

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Yields the messages that this piece completes."""
        self._rest += piece
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        if max(map(len, [*lines, rest])) > MAX_LINE:
            raise BrainjarError(f"cannot read the stream: a line has more than {MAX_LINE} bytes")
        for line in lines:
            text = line.decode("utf-8", "replace")
            yield from self._line(text[:-1] if text.endswith("\r") else text)

    def _line(self, line: str) -> Iterator[Message]:
        if not line:
            if self._data:
                yield Message(self._event or "message", "\n".join(self._data), self.last_id)
            self._event, self._data = "", []
            return
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "event":
            self._event = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self.last_id = value
