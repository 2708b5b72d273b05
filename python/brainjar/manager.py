"""SystemdManager: the interface of the manager that brainjar replaces.

Programs that were written for it change their import line and nothing else. As
there, methods tell trouble by returning False, None or nothing, and log why.
"""

from __future__ import annotations

import logging
import os
import socket as sockets
import subprocess
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Tuple

from .client import Client, Path
from .errors import BrainjarError, WaitTimeoutError
from .model import Experiment, Line

logger = logging.getLogger(__name__)

# How long a start or restart is followed, in seconds, before it is left to go on.
START_LIMIT = 30.0

# How long systemctl may take to start or stop brainjar, in seconds: a little
# more than its unit allows itself.
SYSTEMCTL_LIMIT = 130.0

# Variables of the old environment files that are keys of the configuration now.
# What NVPMODEL_MODE and the rest held was text, but for the temperature.
_KEYS: Mapping[str, Tuple[str, Callable[[str], Any]]] = {
    "EXPERIMENT_RAM_LIMIT": ("memory_max", str),
    "EXPERIMENT_CPU_QUOTA": ("cpu_quota", str),
    "NVPMODEL_MODE": ("power_mode", str),
    "MAX_TEMP_CELSIUS": ("max_temperature", float),
}

_MIB = 1 << 20


class ServiceState(str, Enum):
    """The states that systemd has for a unit."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    FAILED = "failed"
    ACTIVATING = "activating"
    DEACTIVATING = "deactivating"
    UNKNOWN = "unknown"


class SubState(str, Enum):
    """The phase of the experiment, as brainjar has it."""

    IDLE = "idle"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    FROZEN = "frozen"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    HELD = "held"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


_STATES = {
    SubState.QUEUED: ServiceState.ACTIVATING,
    SubState.STARTING: ServiceState.ACTIVATING,
    SubState.BACKOFF: ServiceState.ACTIVATING,
    SubState.RUNNING: ServiceState.ACTIVE,
    SubState.FROZEN: ServiceState.ACTIVE,
    SubState.STOPPING: ServiceState.DEACTIVATING,
    SubState.FAILED: ServiceState.FAILED,
    SubState.UNKNOWN: ServiceState.UNKNOWN,
}


@dataclass
class ExperimentStatus:
    """How an experiment stands. Memory is in bytes, None where it is not known."""

    experiment_id: str
    service_name: str
    state: ServiceState
    sub_state: SubState
    pid: Optional[int] = None
    memory_current: Optional[int] = None
    memory_peak: Optional[int] = None
    memory_limit: Optional[int] = None
    cpu_usage_percent: Optional[float] = None  # 100: one CPU
    active_since: Optional[datetime] = None
    restart_count: int = 0  # in a row
    last_error: Optional[str] = None

    @property
    def memory_current_mb(self) -> Optional[int]:
        """memory_current in MiB."""
        return _mib(self.memory_current)

    @property
    def memory_peak_mb(self) -> Optional[int]:
        """memory_peak in MiB."""
        return _mib(self.memory_peak)

    @property
    def memory_limit_mb(self) -> Optional[int]:
        """memory_limit in MiB."""
        return _mib(self.memory_limit)

    def to_dict(self) -> Dict[str, Any]:
        """The same for JSON, with memory in MiB."""
        return {
            "experiment_id": self.experiment_id,
            "service_name": self.service_name,
            "state": self.state.value,
            "sub_state": self.sub_state.value,
            "pid": self.pid,
            "memory_current_mb": self.memory_current_mb,
            "memory_peak_mb": self.memory_peak_mb,
            "memory_limit_mb": self.memory_limit_mb,
            "cpu_usage_percent": self.cpu_usage_percent,
            "active_since": self.active_since.isoformat() if self.active_since else None,
            "restart_count": self.restart_count,
            "last_error": self.last_error,
        }


class SystemdManager:
    """Starts, stops and shows experiments.

    ``use_sudo``: start_coordinator and stop_coordinator call systemctl through
    sudo, unless this process is root's. Nothing else needs it: membership in the
    group brainjar does. ``socket``, ``user`` or ``client`` say which brainjar.
    """

    def __init__(
        self,
        use_sudo: bool = True,
        socket: Optional[Path] = None,
        user: bool = False,
        client: Optional[Client] = None,
    ) -> None:
        self.use_sudo = use_sudo
        self.client = client or Client(socket, user)
        self._user = user

    def start_experiment(
        self,
        experiment_id: str,
        config_path: Optional[Path] = None,
        env_vars: Optional[Mapping[str, str]] = None,
    ) -> bool:
        """Starts an experiment. True if it runs, or waits for its turn.

        ``config_path``, which must exist (else FileNotFoundError), is the {config} of
        its command. Of ``env_vars``, EXPERIMENT_RAM_LIMIT, EXPERIMENT_CPU_QUOTA,
        NVPMODEL_MODE and MAX_TEMP_CELSIUS set its limits; the rest is its environment.
        """
        config = None
        if config_path:
            config = os.path.abspath(os.fspath(config_path))
            if not os.path.exists(config):
                raise FileNotFoundError(f"Experiment config not found: {config_path}")

        def start() -> bool:
            self.client.start(experiment_id, config, _keys(env_vars or {}))
            return self._settled(experiment_id)

        return self._do(f"start {experiment_id}", start)

    def stop_experiment(self, experiment_id: str, timeout_seconds: float = 30) -> bool:
        """Stops an experiment gracefully. True if it has ended within ``timeout_seconds``.

        If it has not, it is still being stopped, within its own limits of time.
        """
        return self._do(
            f"stop {experiment_id}",
            lambda: not self.client.stop(experiment_id, wait=True, timeout=timeout_seconds).active,
        )

    def restart_experiment(self, experiment_id: str) -> bool:
        """Stops and starts an experiment. True if it runs anew, or waits for its turn."""

        def restart() -> bool:
            before = self.client.get(experiment_id)
            self.client.restart(experiment_id)
            return self._settled(experiment_id, before.run if before.active else None)

        return self._do(f"restart {experiment_id}", restart)

    def get_status(self, experiment_id: str) -> Optional[ExperimentStatus]:
        """How an experiment stands; None if there is none of that id, or no brainjar."""
        try:
            return _status(self.client.get(experiment_id))
        except (BrainjarError, ValueError) as err:
            logger.error("cannot get the status of %s: %s", experiment_id, err)
            return None

    def get_logs(
        self, experiment_id: str, lines: int = 100, follow: bool = False, since: Optional[str] = None
    ) -> str:
        """The last lines of output, as journalctl writes them; 0: all there are.

        ``since`` is a time, or words such as "1 hour ago". With ``follow`` lines are
        printed as they come, until Ctrl-C or the end of brainjar, and the last of
        them returned.
        """
        kept: Deque[str] = deque(maxlen=(lines or 1000) if follow else None)
        try:
            with self.client.logs(experiment_id, follow=follow, lines=lines or None, since=since) as stream:
                for line in stream:
                    kept.append(_journal(line))
                    if follow:
                        print(kept[-1], flush=True)
        except KeyboardInterrupt:
            if not follow:
                raise
        except (BrainjarError, ValueError) as err:
            logger.error("cannot get the logs of %s: %s", experiment_id, err)
        return "".join(text + "\n" for text in kept)

    def list_experiments(self) -> List[str]:
        """The ids of all experiments."""
        return list(self.get_all_statuses())

    def get_all_statuses(self) -> Dict[str, ExperimentStatus]:
        """How all experiments stand, by id."""
        try:
            return {e.experiment: _status(e) for e in self.client.status().experiments}
        except BrainjarError as err:
            logger.error("cannot list experiments: %s", err)
            return {}

    def enable_experiment(self, experiment_id: str) -> bool:
        """Starts an experiment whenever brainjar starts."""
        return self._do(f"enable {experiment_id}", lambda: self.client.enable(experiment_id))

    def disable_experiment(self, experiment_id: str) -> bool:
        """Does not start an experiment when brainjar starts."""
        return self._do(f"disable {experiment_id}", lambda: self.client.disable(experiment_id))

    def start_coordinator(self) -> bool:
        """Starts brainjar itself."""
        return self._systemctl("start")

    def stop_coordinator(self) -> bool:
        """Stops brainjar itself, and with it, gracefully, what it runs."""
        return self._systemctl("stop")

    def start_all_experiments(self) -> bool:
        """Starts all experiments that are enabled (autostart), but for those that a person holds."""
        return self._all("start", self.client.start, lambda e: e.autostart and not e.active and not e.hold)

    def stop_all_experiments(self) -> bool:
        """Stops all experiments that run or wait. It does not wait for their end."""
        return self._all(
            "stop", self.client.stop, lambda e: e.active or e.phase in ("queued", "backoff", "held")
        )

    def _all(self, order: str, give: Callable[..., Experiment], chosen: Callable[[Experiment], bool]) -> bool:
        try:
            ids = [e.experiment for e in self.client.status().experiments if chosen(e)]
        except BrainjarError as err:
            logger.error("cannot %s all experiments: %s", order, err)
            return False
        done = [self._do(f"{order} {id}", partial(give, id)) for id in ids]
        return all(done)

    def _settled(self, id: str, old: Optional[int] = None) -> bool:
        """Waits until another run than the old one runs, or it is clear that it waits or failed."""

        def done(e: Experiment) -> bool:
            if e.active and e.run == old:
                return False
            return e.phase != "starting" and (e.phase != "queued" or bool(e.reason))

        try:
            e = self.client.until(id, done, START_LIMIT)
        except WaitTimeoutError as err:
            logger.warning("not waiting any longer: %s", err)
            return True
        if e.phase in ("failed", "backoff", "held"):
            logger.error("%s is %s: %s", id, e.phase, e.reason)
        return e.phase not in ("failed", "backoff", "held")

    def _do(self, what: str, do: Callable[[], object]) -> bool:
        """Does something, and says whether it was done: unless it raises, or returns False."""
        try:
            done = do() is not False
        except (BrainjarError, ValueError) as err:
            logger.error("cannot %s: %s", what, err)
            return False
        if done:
            logger.info("done: %s", what)
        return done

    def _systemctl(self, order: str) -> bool:
        command = ["systemctl", order, "brainjar.service"]
        if self._user:
            command.insert(1, "--user")
        elif self.use_sudo and os.geteuid() != 0:
            command[:0] = ["sudo", "--non-interactive"]
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=SYSTEMCTL_LIMIT,
                check=True,
            )
        except subprocess.CalledProcessError as err:
            logger.error("cannot %s brainjar: %s", order, err.output.decode("utf-8", "replace").strip())
            return False
        except (OSError, subprocess.TimeoutExpired) as err:
            logger.error("cannot %s brainjar: %s", order, err)
            return False
        return True


def _keys(env_vars: Mapping[str, str]) -> Dict[str, Any]:
    keys: Dict[str, Any] = {}
    environment: Dict[str, str] = {}
    for name, value in env_vars.items():
        if name in _KEYS:
            key, convert = _KEYS[name]
            keys[key] = convert(value)
        else:
            environment[name] = str(value)
    if environment:
        keys["environment"] = environment
    return keys


def _status(e: Experiment) -> ExperimentStatus:
    try:
        phase = SubState(e.phase)
    except ValueError:  # of a later brainjar
        phase = SubState.UNKNOWN
    error = None
    if phase in (SubState.FAILED, SubState.BACKOFF):
        error = e.reason or e.last_result or None
    elif e.last_result not in ("", "success", "stopped"):
        error = e.last_result
    return ExperimentStatus(
        experiment_id=e.experiment,
        service_name=e.unit or f"brainjar-{e.experiment}.{e.kind}",
        state=_STATES.get(phase, ServiceState.INACTIVE),
        sub_state=phase,
        pid=e.pid or None,
        memory_current=e.memory_current,
        memory_peak=e.memory_peak,
        memory_limit=e.memory_max,
        cpu_usage_percent=e.cpu_percent,
        active_since=e.started_at if e.active else None,
        restart_count=e.attempt,
        last_error=error,
    )


def _journal(line: Line) -> str:
    """A line as journalctl writes it: time, host, name and PID, message."""
    at = line.at.astimezone().strftime("%b %d %H:%M:%S ") if line.at else ""
    pid = f"[{line.pid}]" if line.pid else ""
    host = sockets.gethostname().partition(".")[0]
    return f"{at}{host} brainjar-{line.experiment}{pid}: {line.message}"


def _mib(size: Optional[int]) -> Optional[int]:
    return None if size is None else size // _MIB
