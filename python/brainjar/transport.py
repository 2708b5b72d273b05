"""HTTP and JSON over brainjar's Unix socket, with a limit to every wait."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from collections import deque
from typing import Any, Deque, Dict, Iterator, List, Mapping, Optional, Tuple, Union
from urllib.parse import urlencode

from .errors import BrainjarError, ForbiddenError, UnreachableError, WaitTimeoutError, refusal
from .sse import Message, Parser

# How long connecting may take, in seconds; how long an answer that is no stream;
# how long a stream may be silent. brainjar says every 15 s that it is alive.
CONNECT_LIMIT = 5.0
ANSWER_LIMIT = 60.0
SILENCE_LIMIT = 45.0

# How long a brainjar that went away is waited for, in seconds: it has two minutes
# to stop what runs, and then comes back if it was restarted.
PATIENCE = 180.0

# How large an answer may be that is no stream, in bytes.
MAX_ANSWER = 256 << 20

Query = Mapping[str, Union[None, str, int, bool, List[str]]]


def default_socket(user: bool) -> str:
    """Where brainjar listens: as the environment says, the system's, or one's own."""
    if os.environ.get("BRAINJAR_SOCKET"):
        return os.environ["BRAINJAR_SOCKET"]
    if not user:
        return "/run/brainjar/control.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return os.path.join(runtime, "brainjar", "control.sock")


class Deadline:
    """The end of a wait, by the monotonic clock. None: there is none."""

    def __init__(self, seconds: Optional[float]) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> Optional[float]:
        """Seconds that are left, never less than 0."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        """Whether it is over."""
        return self.left() == 0.0


class Transport:
    """Makes requests, each on a connection of its own: safe for use by threads."""

    def __init__(self, path: str, version: str = "v1") -> None:
        self.path = path
        self._base = "/" + version

    def call(self, method: str, path: str, query: Optional[Query] = None, body: Any = None) -> Any:
        """Makes a request and returns what its JSON holds, None if there is none."""
        deadline = Deadline(ANSWER_LIMIT)
        connection, response = self._send(method, path, query, body, deadline)
        try:
            text = b"".join(connection.pieces(response, deadline, MAX_ANSWER))
            return json.loads(text) if text.strip() else None
        except (OSError, http.client.HTTPException) as err:
            raise UnreachableError(f"cannot read the answer of brainjar: {_words(err)}") from err
        except ValueError as err:
            raise BrainjarError(f"cannot read the answer of brainjar: it is no JSON: {err}") from err
        finally:
            connection.close()

    def stream(
        self, path: str, query: Optional[Query] = None, deadline: Optional[Deadline] = None
    ) -> "Messages":
        """Opens a stream of server-sent events, to be read until the deadline."""
        connection, response = self._send("GET", path, query, None, Deadline(ANSWER_LIMIT))
        return Messages(connection, response, deadline or Deadline(None))

    def _send(
        self, method: str, path: str, query: Optional[Query], body: Any, deadline: Deadline
    ) -> Tuple["_Connection", http.client.HTTPResponse]:
        headers: Dict[str, str] = {}
        content = None
        if body is not None:
            content = json.dumps(body, default=os.fspath).encode()
            headers["Content-Type"] = "application/json"
        connection = _Connection(self.path)
        try:
            connection.connect()
            connection.limit(deadline.left())
            connection.request(method, self._base + path + _encode(query), content, headers)
            response = connection.getresponse()
            if response.status < 300:
                return connection, response
            answer = b"".join(connection.pieces(response, deadline, MAX_ANSWER))
        except PermissionError as err:
            connection.close()
            raise ForbiddenError(
                f"cannot connect to {self.path}: {_words(err)}", "be root, or a member of the group brainjar"
            ) from err
        except (OSError, http.client.HTTPException) as err:
            connection.close()
            raise UnreachableError(
                f"brainjar does not answer on {self.path}: {_words(err)}",
                "does it run? `systemctl status brainjar`",
            ) from err
        except BaseException:
            connection.close()
            raise
        connection.close()
        try:
            raise refusal(json.loads(answer), response.status)
        except ValueError:
            raise refusal(None, response.status) from None


class Messages(Iterator[Message]):
    """What one stream sends. It ends when brainjar ends it in an orderly way."""

    def __init__(
        self, connection: "_Connection", response: http.client.HTTPResponse, deadline: Deadline
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._pieces = connection.pieces(response, deadline, None)
        self._parser = Parser()
        self._ready: Deque[Message] = deque()
        self._reading = threading.RLock()

    def __next__(self) -> Message:
        with self._reading:
            try:
                while not self._ready:
                    self._ready.extend(self._parser.feed(next(self._pieces)))
                message = self._ready.popleft()
                if message.event == "error":
                    raise refusal(_json_or_none(message.data))
                return message
            except (OSError, http.client.HTTPException, ValueError) as err:
                self._connection.close()
                if self._deadline.passed():
                    raise WaitTimeoutError("the time is over") from err
                raise UnreachableError(f"brainjar ended the stream: {_words(err)}") from err
            except BaseException:
                self._connection.close()
                raise

    @property
    def last_id(self) -> str:
        """The id to go on from, "" if there was none."""
        return self._parser.last_id

    def close(self) -> None:
        """Ends the stream. A thread that waits for a message is woken first."""
        self._connection.shut()
        with self._reading:
            self._connection.close()


class _Connection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("brainjar")
        self._path = path
        self._socket: Optional[socket.socket] = None

    def connect(self) -> None:
        self._socket = self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_LIMIT)
        self._socket.connect(self._path)

    def limit(self, seconds: Optional[float]) -> None:
        """Bounds each wait that follows."""
        if self._socket is not None and self._socket.fileno() >= 0:
            # 0 would mean not to wait at all, and is told as another error.
            self._socket.settimeout(None if seconds is None else max(seconds, 0.001))

    def pieces(
        self, response: http.client.HTTPResponse, deadline: Deadline, most: Optional[int]
    ) -> Iterator[bytes]:
        """Yields an answer as it comes. read1 tells a cut from an end; readline does not."""
        size = 0
        while True:
            left = deadline.left()
            if left == 0:
                raise socket.timeout("timed out")
            self.limit(SILENCE_LIMIT if left is None else min(left, SILENCE_LIMIT))
            piece = response.read1(65536)
            size += len(piece)
            if not piece:
                return
            if most is not None and size > most:
                raise BrainjarError(f"cannot read the answer of brainjar: it has more than {most} bytes")
            yield piece

    def shut(self) -> None:
        """Ends every wait for this connection, in any thread."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is not connected any more


def _encode(query: Optional[Query]) -> str:
    pairs: List[Tuple[str, str]] = []
    for key, value in (query or {}).items():
        if isinstance(value, list):
            pairs += [(key, one) for one in value]
        elif value is not None and value is not False:
            pairs.append((key, "true" if value is True else str(value)))
    return "?" + urlencode(pairs) if pairs else ""


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _words(err: BaseException) -> str:
    if isinstance(err, socket.timeout):
        return "it did not answer in time"
    if isinstance(err, http.client.IncompleteRead):
        return "it was cut off"
    return str(getattr(err, "strerror", None) or err) or type(err).__name__
