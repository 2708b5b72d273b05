"""What never ends by itself: events and output, as iterators to be closed."""

from __future__ import annotations

import json
import threading
import time
from types import TracebackType
from typing import Any, Callable, Generic, Iterator, Optional, Type, TypeVar

from . import model
from .errors import BrainjarError, NotReadyError, UnreachableError
from .sse import Message
from .transport import Deadline, Messages

T = TypeVar("T")
S = TypeVar("S", bound="Stream[Any]")

# How long to wait before connecting again, in seconds: at first, at most.
_FIRST_DELAY = 0.1
_LAST_DELAY = 2.0


class Stream(Iterator[T], Generic[T]):
    """Goes through what brainjar sends. Close it, or use it in a with statement.

    A stream is read by one thread; any thread may close it, which ends the
    iteration.
    """

    def __init__(self, messages: Messages, kind: Type[T]) -> None:
        self._messages = messages
        self._kind = kind
        self._closed = threading.Event()

    def __next__(self) -> T:
        try:
            message = next(self._messages)
            if message.event != "end":
                return self._read(message)
        except (BrainjarError, StopIteration) as err:
            if not self._closed.is_set():
                self.close()
                if isinstance(err, StopIteration):
                    raise UnreachableError("brainjar has ended, and the stream with it") from err
                raise
        self.close()
        raise StopIteration

    def _read(self, message: Message) -> T:
        return model.read(self._kind, decode(message))

    def close(self) -> None:
        """Ends the stream."""
        self._closed.set()
        self._messages.close()

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


class EventStream(Stream[model.Event]):
    """Goes through events, over restarts of brainjar as well.

    After a break it goes on behind the last event that it has seen. If no
    brainjar answers for ``patience`` seconds, that is an UnreachableError.
    """

    def __init__(
        self,
        messages: Messages,
        connect: Callable[[Optional[str]], Messages],
        after: Optional[str],
        patience: Optional[float],
    ) -> None:
        super().__init__(messages, model.Event)
        self._connect = connect
        self._after = after
        self._patience = patience
        self._well()

    def __next__(self) -> model.Event:
        while not self._closed.is_set():
            try:
                message = next(self._messages)
                event = self._read(message)
                self._after = message.id or str(event.id)
                self._well()
                return event
            except (UnreachableError, NotReadyError, StopIteration) as err:
                self._again(err)
            except BrainjarError:
                if not self._closed.is_set():
                    self.close()
                    raise
        raise StopIteration

    def _well(self) -> None:
        """Notes that there is a connection, and no trouble with it."""
        self._connected = time.monotonic()
        self._delay = _FIRST_DELAY
        self._gone: Optional[Deadline] = None

    def _again(self, why: BaseException) -> None:
        """Connects again, unless that has been tried for too long, or it was closed."""
        if time.monotonic() - self._connected > _LAST_DELAY:
            self._well()
        self._gone = self._gone or Deadline(self._patience)
        while not self._closed.wait(self._delay):
            self._delay = min(2 * self._delay, _LAST_DELAY)
            if self._gone.passed():
                self.close()
                raise UnreachableError("brainjar has ended, and does not come back") from why
            try:
                messages = self._connect(self._messages.last_id or self._after)
            except (UnreachableError, NotReadyError) as err:
                why = err
                continue
            self._messages, self._connected = messages, time.monotonic()
            if self._closed.is_set():  # meanwhile: that closed the old ones
                messages.close()
            return


def decode(message: Message) -> object:
    """Reads the JSON of a message."""
    try:
        data: object = json.loads(message.data)
    except ValueError as err:
        raise BrainjarError(f"cannot read what brainjar sent: {err}") from err
    return data
