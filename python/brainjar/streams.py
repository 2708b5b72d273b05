"""What never ends by itself: events and output, as iterators to be closed."""

from __future__ import annotations

import json
import threading
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
            return self._read(next(self._messages))
        except (BrainjarError, StopIteration):
            if self._closed.is_set():
                raise StopIteration from None
            raise

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
        self, connect: Callable[[str], Messages], after: Optional[int], patience: Optional[float]
    ) -> None:
        self._connect = connect
        self._after = "" if after is None else str(after)
        self._patience = patience
        super().__init__(connect(self._after), model.Event)
        self._delay = _FIRST_DELAY

    def __next__(self) -> model.Event:
        broken: Optional[Deadline] = None
        while True:
            try:
                message = next(self._messages)
            except (UnreachableError, NotReadyError, StopIteration) as err:
                if self._closed.is_set():
                    raise StopIteration from None
                broken = broken or Deadline(self._patience)
                self._again(broken, err)
                continue
            except BrainjarError:
                if self._closed.is_set():
                    raise StopIteration from None
                raise
            self._delay = _FIRST_DELAY
            event = self._read(message)
            self._after = message.id or str(event.id)
            return event

    def _again(self, broken: Deadline, why: BaseException) -> None:
        """Connects again, unless that has been tried for too long, or it was closed."""
        while not self._closed.wait(self._delay):
            self._delay = min(2 * self._delay, _LAST_DELAY)
            if broken.passed():
                raise UnreachableError("brainjar has ended, and does not come back") from why
            try:
                messages = self._connect(self._messages.last_id or self._after)
            except (UnreachableError, NotReadyError) as err:
                why = err
                continue
            self._messages = messages
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
