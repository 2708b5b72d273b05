"""The native API: one method for each thing that brainjar can be asked or told."""

from __future__ import annotations

import os
import signal as signals
import time
from contextlib import closing
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union
from urllib.parse import quote

from . import times
from .errors import NotReadyError, UnknownExperimentError, UnreachableError, WaitTimeoutError
from .model import Event, Experiment, Line, Plan, Run, Status, Why, read, read_list
from .streams import EventStream, Stream
from .transport import PATIENCE, Deadline, Messages, Query, Transport, default_socket

# How long to wait between two attempts to ask a brainjar that went away, in seconds.
_RETRY = 0.25

Keys = Optional[Mapping[str, Any]]
Path = Union[str, "os.PathLike[str]"]
Signal = Union[str, int, signals.Signals]


class Client:
    """Asks a brainjar, over its Unix socket. Safe for use by several threads.

    ``socket`` is the path of the socket; without it, $BRAINJAR_SOCKET, or that of
    the system's brainjar, or with ``user`` that of your own service manager's. Every method
    may raise a BrainjarError: UnreachableError if no brainjar answers,
    ForbiddenError, UnknownExperimentError and so on if it refuses.

    Keys of experiments are those of the configuration, with values as there:
    ``memory_max="8G"``, ``restart={"policy": "no"}``.
    """

    def __init__(self, socket: Optional[Path] = None, user: bool = False) -> None:
        self._transport = Transport(os.fspath(socket) if socket is not None else default_socket(user))

    # --- how things stand ---------------------------------------------------

    def status(self, *ids: str, tag: Optional[str] = None) -> Status:
        """How brainjar and its experiments stand: all, or those of ids or of a tag."""
        return read(Status, self._transport.call("GET", "/status", {"id": list(ids), "tag": tag}))

    def get(self, id: str) -> Experiment:
        """How one experiment stands."""
        return read(Experiment, self._transport.call("GET", _path(id)))

    def why(self, id: str) -> Why:
        """What an experiment waits for, or how it ended, and what to do about it."""
        return read(Why, self._transport.call("GET", _path(id, "why")))

    def history(
        self,
        *ids: str,
        since: times.Since = None,
        result: Union[None, str, Sequence[str]] = None,
        lines: Optional[int] = None,
    ) -> List[Run]:
        """Runs of the past, the newest last: of all experiments or some, with some results."""
        results = [result] if isinstance(result, str) else list(result or ())
        query: Query = {"id": list(ids), "since": times.since(since), "result": results, "lines": lines}
        return read_list(Run)(self._transport.call("GET", "/history", query) or [])

    def sensors(self) -> Dict[str, Any]:
        """What the machine's sensors say, as brainjar read it last.

        The fields of ``brainjar sensors -o json``: None is what is not known, and
        ``problems`` tells what failed.
        """
        return dict(self._transport.call("GET", "/sensors") or {})

    def version(self) -> Dict[str, Any]:
        """The version of brainjar and of its API."""
        return dict(self._transport.call("GET", "/version") or {})

    # --- orders -------------------------------------------------------------

    def start(
        self,
        id: str,
        config: Optional[Path] = None,
        keys: Keys = None,
        wait: bool = False,
        timeout: Optional[float] = None,
    ) -> Experiment:
        """Wants an experiment: it starts as soon as there is room for it.

        ``config`` takes the place of its configured one; an id that is not
        configured is made from [template]. ``keys`` override those configured, from
        now on; None takes one back. With ``wait`` it returns when the
        program runs, or when it will not: it has ended, is held or is in backoff.
        ``timeout`` (seconds) is for that; WaitTimeoutError says that it still waits.
        """
        body: Dict[str, Any] = {}
        if config is not None:
            body["config"] = os.fspath(config)
        if keys:
            body["keys"] = dict(keys)
        e = self._order(id, "start", body)
        return self._until(e, lambda e: e.phase not in ("queued", "starting"), timeout) if wait else e

    def stop(self, id: str, wait: bool = False, timeout: Optional[float] = None) -> Experiment:
        """Ends an experiment gracefully, and wants it no more. With ``wait``: until it has ended."""
        e = self._order(id, "stop")
        return self._until(e, lambda e: not e.active, timeout) if wait else e

    def restart(self, id: str) -> Experiment:
        """Ends an experiment that runs, and starts it again."""
        return self._order(id, "restart")

    def hold(self, id: str, reason: str = "") -> Experiment:
        """Keeps an experiment from being started. What runs, runs to its end."""
        return self._order(id, "hold", {"reason": reason} if reason else {})

    def release(self, id: str) -> Experiment:
        """Undoes a hold."""
        return self._order(id, "release")

    def release_all(self) -> None:
        """Releases all that is held, and resets the circuit breaker."""
        self._transport.call("POST", "/release")

    def freeze(self, id: str) -> Experiment:
        """Takes the CPU from an experiment."""
        return self._order(id, "freeze")

    def thaw(self, id: str) -> Experiment:
        """Gives a frozen experiment the CPU back."""
        return self._order(id, "thaw")

    def kill(self, id: str, signal: Signal = "SIGKILL", whom: str = "all") -> Experiment:
        """Sends a signal to all processes of an experiment, or with whom="main" to the main one."""
        name = signal if isinstance(signal, str) else signals.Signals(signal).name
        return self._order(id, "kill", {"signal": name, "whom": whom})

    def enable(self, id: str) -> Experiment:
        """Starts an experiment whenever brainjar starts, whatever its autostart says."""
        return self._order(id, "enable")

    def disable(self, id: str) -> Experiment:
        """Does not start an experiment when brainjar starts, whatever its autostart says."""
        return self._order(id, "disable")

    def auto(self, id: str) -> Experiment:
        """Takes enable and disable back."""
        return self._order(id, "auto")

    # --- experiments that no file names ------------------------------------

    def submit(self, id: str, command: Sequence[Path], **keys: Any) -> Experiment:
        """Adds an experiment that no file names, and starts it.

        ``command`` is a list: no shell reads it. ``working_directory`` is this
        process's unless given; None leaves it to brainjar.
        """
        if isinstance(command, str):
            raise TypeError("command must be a list such as ['sleep', '60']")
        all_keys = {"working_directory": os.getcwd(), **keys, "command": [os.fspath(c) for c in command]}
        body = {"keys": {k: v for k, v in all_keys.items() if v is not None}}
        return read(Experiment, self._transport.call("PUT", _path(id), None, body))

    def adopt(self, id: str, pid: int, **keys: Any) -> Experiment:
        """Makes an experiment of a process that runs already."""
        return self._order(id, "adopt", {"pid": pid, "keys": keys} if keys else {"pid": pid})

    def forget(self, id: str) -> None:
        """Removes a submitted experiment that has ended. Its runs stay in the ledger."""
        self._transport.call("POST", _path(id, "forget"))

    def set(self, id: str, **keys: Any) -> Experiment:
        """Changes limits while it runs: memory_max, cpu_quota, priority and the like.

        None takes a change back.
        """
        return read(Experiment, self._transport.call("PATCH", _path(id), None, {"keys": keys}))

    # --- the configuration --------------------------------------------------

    def plan(self) -> Plan:
        """What a reload would do."""
        return read(Plan, self._transport.call("GET", "/plan"))

    def reload(self, restart: bool = False) -> Plan:
        """Reads the configuration again. With ``restart``, what cannot change otherwise is restarted."""
        return read(Plan, self._transport.call("POST", "/reload", None, {"restart": restart}))

    # --- streams ------------------------------------------------------------

    def logs(
        self,
        *ids: str,
        follow: bool = False,
        lines: Optional[int] = None,
        since: times.Since = None,
        run: Optional[int] = None,
    ) -> Stream[Line]:
        """Goes through the output of experiments (none named: of all).

        ``lines``: only the newest so many; ``since``: a time, a timedelta, or
        words such as "1 hour ago"; ``run``: only of that run; ``follow``: go on
        with what comes, until it is closed.
        """
        query: Query = {
            "id": list(ids),
            "run": run,
            "since": times.since(since),
            "lines": lines,
            "follow": follow,
        }
        return Stream(self._transport.stream("/logs", query), Line)

    def events(
        self,
        *ids: str,
        after: Optional[int] = None,
        lines: Optional[int] = None,
        follow: bool = True,
        patience: Optional[float] = PATIENCE,
    ) -> Stream[Event]:
        """Goes through what happens, from now on or from after the event of that id.

        ``lines``: with the newest so many of the past; ``follow=False``: only these.
        It goes on when brainjar was restarted, where it was; if none answers
        for ``patience`` seconds (None: however long), it is an UnreachableError.
        """

        def connect(last: Optional[str], lines: Optional[int] = None) -> Messages:
            query: Query = {"id": list(ids), "after": last, "lines": lines, "follow": follow}
            return self._transport.stream("/events", query)

        since = None if after is None else str(after)
        messages = connect(since, lines)
        return EventStream(messages, connect, since, patience) if follow else Stream(messages, Event)

    def wait(self, id: str, timeout: Optional[float] = None) -> Experiment:
        """Waits until an experiment has ended for good, and returns how.

        For good: it has succeeded, failed or was stopped, and no restart is due.
        One that nobody wants (idle), or that waits for one that has failed for good
        (``blocked``), is returned as it is. A restart of brainjar
        meanwhile does not matter. WaitTimeoutError after ``timeout`` seconds.
        """
        return self.until(id, lambda e: e.over or e.blocked or e.phase == "idle", timeout)

    def until(
        self, id: str, done: Callable[[Experiment], bool], timeout: Optional[float] = None
    ) -> Experiment:
        """Waits until an experiment stands as wished: until ``done`` of it is true."""
        return self._until(self.get(id), done, timeout)

    def _until(
        self, e: Experiment, done: Callable[[Experiment], bool], timeout: Optional[float]
    ) -> Experiment:
        # Each look at it follows the opening of the stream, or one of its events:
        # so no change is missed for good.
        id, deadline, gone = e.experiment, Deadline(timeout), Deadline(PATIENCE)
        while not done(e):
            if deadline.passed():
                raise WaitTimeoutError(f"{id} is still {e.phase}" + (f": {e.reason}" if e.reason else ""))
            try:
                events = self._transport.stream("/events", {"id": id, "follow": True}, deadline)
                with closing(events) as messages:
                    e, gone = self._settled(id), Deadline(PATIENCE)
                    while not done(e):
                        next(messages)
                        e, gone = self._settled(id), Deadline(PATIENCE)
            except WaitTimeoutError:
                pass
            except (UnreachableError, NotReadyError, StopIteration) as err:
                if gone.passed():
                    raise UnreachableError("brainjar has ended, and does not come back") from err
                time.sleep(_RETRY)
        return e

    def _settled(self, id: str) -> Experiment:
        """How an experiment stands, unless brainjar has just come, or is about to go.

        What it has stopped because it leaves is started again when it is back.
        """
        status = self.status(id)
        if not status.supervisor.ready or status.supervisor.leaving:
            raise NotReadyError("brainjar does not know yet what runs, or is ending")
        for e in status.experiments:
            if e.experiment == id:
                return e
        raise UnknownExperimentError(f"{id} is not one experiment")

    def _order(self, id: str, order: str, body: Any = None) -> Experiment:
        return read(Experiment, self._transport.call("POST", _path(id, order), None, body))


def _path(id: str, order: str = "") -> str:
    if not id or id in (".", ".."):
        raise ValueError(f"{id!r} is no id of an experiment")
    return "/experiments/" + quote(id, safe="") + (f"/{order}" if order else "")
