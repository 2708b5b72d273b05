"""What brainjar tells, as data classes with the names of the API.

Sizes are bytes, temperatures °C, shares of CPU time percent of one CPU, times
have a zone. None is what is not known or does not apply. Fields that this
package does not know are left out, so that it works with a newer brainjar.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Callable, Dict, List, Optional, Type, TypeVar

from . import times
from .errors import BrainjarError

T = TypeVar("T")


def read(kind: Type[T], data: Any) -> T:
    """Makes a data class of decoded JSON."""
    if not isinstance(data, dict):
        got = type(data).__name__
        raise BrainjarError(f"cannot read the answer of brainjar: no {kind.__name__}, but {got}")
    values: Dict[str, Any] = {}
    try:
        for f in fields(kind):
            value = data.get(f.metadata.get("key", f.name))
            if value is not None:
                values[f.name] = f.metadata["read"](value) if "read" in f.metadata else value
        return kind(**values)
    except (TypeError, ValueError, AttributeError) as err:
        raise BrainjarError(f"cannot read the answer of brainjar: no {kind.__name__}: {err}") from err


def read_list(kind: Type[T]) -> Callable[[Any], List[T]]:
    """Returns what makes a list of data classes."""
    return lambda data: [read(kind, d) for d in data]


def _time() -> Any:
    return field(default=None, metadata={"read": times.parse})


def _of(kind: Type[Any]) -> Any:
    return field(metadata={"read": lambda data: read(kind, data)})


def _list_of(kind: Type[Any]) -> Any:
    return field(default_factory=list, metadata={"read": read_list(kind)})


def _list() -> Any:
    return field(default_factory=list)


@dataclass(frozen=True)
class Experiment:
    """How one experiment stands."""

    experiment: str
    phase: str
    reason: str = ""
    waits_for: str = ""  # while it is queued: hold, dependency, slots, budget, heat, memory, gpu-memory, power-mode or place
    blocked: bool = False  # what it waits for has failed for good: it starts only if somebody starts that
    since: Optional[datetime] = _time()  # of the phase
    description: str = ""
    tags: List[str] = _list()
    matrix: str = ""  # the id that stands for all members of its matrix
    kind: str = "service"
    submitted: bool = False  # no file names it
    owner: str = ""
    priority: int = 0
    autostart: bool = False  # as it counts: with the override
    enabled: Optional[bool] = None  # override of autostart
    hold: str = ""  # why a person holds it
    run: int = 0  # number of the latest run, 0: none
    attempt: int = 0  # restarts in a row
    max_restarts: int = 0
    requeues: int = 0
    queued_at: Optional[datetime] = _time()
    due_at: Optional[datetime] = _time()  # end of backoff
    last_result: str = ""
    command: List[str] = _list()
    config: str = ""
    unit: str = ""
    invocation: str = ""
    pid: Optional[int] = None
    started_at: Optional[datetime] = _time()
    memory_max: Optional[int] = None
    memory_current: Optional[int] = None  # with the files that are cached for it
    memory_cache: Optional[int] = None  # these files
    memory_peak: Optional[int] = None
    gpu_memory: int = 0  # as configured
    gpu_memory_current: Optional[int] = None
    cpu_quota: Optional[float] = None
    cpu_percent: Optional[float] = None
    cpu_seconds: Optional[float] = None
    tasks: Optional[int] = None
    tasks_max: Optional[int] = None
    needs_restart: List[str] = _list()  # keys that changed, not yet in the run

    @property
    def active(self) -> bool:
        """Whether it has a unit, or is about to."""
        return self.phase in ("starting", "running", "frozen", "stopping")

    @property
    def over(self) -> bool:
        """Whether it has ended, and is not started again until somebody says so."""
        return self.phase in ("succeeded", "failed", "stopped")


@dataclass(frozen=True)
class Supervisor:
    """How brainjar itself stands."""

    version: str = ""
    pid: int = 0
    started_at: Optional[datetime] = _time()
    config: str = ""  # path
    ready: bool = False
    leaving: bool = False
    slots: int = 0
    slots_used: int = 0
    memory_budget: int = 0
    memory_used: int = 0  # of the budget
    memory_available: Optional[int] = None  # of the machine
    hold: str = ""  # why nothing at all may start
    zone: str = ""  # the hottest that counts
    temperature_celsius: Optional[float] = None
    governor_stage: str = ""
    ledger: str = ""  # what is wrong with it
    systemd: str = ""  # what is wrong with the connection
    phases: Dict[str, int] = field(default_factory=dict)  # how many experiments are in each


@dataclass(frozen=True)
class Status:
    """brainjar and its experiments at one moment."""

    supervisor: Supervisor = _of(Supervisor)
    experiments: List[Experiment] = _list_of(Experiment)
    at: Optional[datetime] = _time()

    def __getitem__(self, id: str) -> Experiment:
        """The experiment of that id, or KeyError."""
        for e in self.experiments:
            if e.experiment == id:
                return e
        raise KeyError(id)


@dataclass(frozen=True)
class Run:
    """One run of the past, with the columns of the ledger."""

    experiment: str
    run: int
    attempt: int = 0
    invocation: str = ""
    unit: str = ""
    command: Any = None  # a list
    limits: Any = None  # names and values
    queued_at: Optional[datetime] = _time()
    started_at: Optional[datetime] = _time()
    ended_at: Optional[datetime] = _time()
    result: str = ""  # "": it has not ended
    reason: str = ""
    exit_code: Optional[int] = None
    signal: str = ""
    oom_kills: int = 0
    memory_max: Optional[int] = None
    memory_peak: Optional[int] = None
    gpu_memory_peak: Optional[int] = None
    cpu_seconds: Optional[float] = None
    max_temperature: Optional[float] = None  # °C
    max_temperature_zone: str = ""
    energy_joules: Optional[float] = None  # its share of what the board took
    energy_seconds: Optional[float] = None  # for how long that was known
    energy_shared: Optional[bool] = None  # others ran besides it: an estimate
    throttled_seconds: Optional[float] = None
    throttled_hardware: Optional[float] = None  # seconds
    throttled_brainjar: Optional[float] = None  # seconds
    over_current_events: Optional[int] = None
    swap_peak: Optional[int] = None  # bytes
    watched_seconds: Optional[float] = None
    tainted: str = ""  # "clean", or why not; "": it has not ended, or nobody could watch
    boot: str = ""


@dataclass(frozen=True)
class Why:
    """Why an experiment stands where it does, in sentences."""

    experiment: Experiment = _of(Experiment)
    sentences: List[str] = _list()
    advice: List[str] = _list()
    last_run: Optional[Run] = field(default=None, metadata={"read": lambda data: read(Run, data)})
    log: List[str] = _list()  # the last lines of its output

    def __str__(self) -> str:
        return "\n".join([*self.sentences, *self.advice])


@dataclass(frozen=True)
class Event:
    """Something that happened. Those of kind phase are changes of a phase."""

    id: int
    kind: str
    at: Optional[datetime] = _time()
    experiment: str = ""
    run: int = 0
    from_phase: str = field(default="", metadata={"key": "from"})
    to_phase: str = field(default="", metadata={"key": "to"})
    reason: str = ""
    result: str = ""  # of the run that ended with this
    exit_code: Optional[int] = None
    signal: str = ""


@dataclass(frozen=True)
class Line:
    """One line of the output of an experiment."""

    message: str
    experiment: str = ""
    at: Optional[datetime] = _time()
    run: int = 0
    pid: Optional[int] = None
    priority: int = 6  # as syslog has it: 3 is an error, 6 information

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Step:
    """What becomes of one experiment in a reload, or of brainjar's own settings ("")."""

    action: str  # add, change, restart, remove
    experiment: str = ""
    keys: List[str] = _list()
    words: str = ""


@dataclass(frozen=True)
class Plan:
    """What a reload would do, or has done."""

    steps: List[Step] = _list_of(Step)
    warnings: List[str] = _list()
