"""Talks to brainjar, the supervisor of long experiments.

    from brainjar import Client

    client = Client()
    client.start("amnesiac_001", keys={"memory_max": "8G"}, wait=True)
    for line in client.logs("amnesiac_001", follow=True):
        print(line)

SystemdManager and SystemdWebMonitor are for programs that were written for the
manager that brainjar replaces.
"""

from .client import Client
from .errors import (
    AnswerTimeoutError,
    BadRequestError,
    BrainjarError,
    ConfigError,
    ConflictError,
    EventsLostError,
    ForbiddenError,
    NoJournalError,
    NotAdmittedError,
    NotReadyError,
    NotWrittenError,
    UnknownExperimentError,
    UnreachableError,
    WaitTimeoutError,
)
from .manager import ExperimentStatus, ServiceState, SubState, SystemdManager
from .model import Event, Experiment, Line, Plan, Run, Status, Step, Supervisor, Why
from .streams import EventStream, Stream
from .web import SystemdWebMonitor

__all__ = [
    "AnswerTimeoutError",
    "BadRequestError",
    "BrainjarError",
    "Client",
    "ConfigError",
    "ConflictError",
    "Event",
    "EventStream",
    "EventsLostError",
    "Experiment",
    "ExperimentStatus",
    "ForbiddenError",
    "Line",
    "NoJournalError",
    "NotAdmittedError",
    "NotReadyError",
    "NotWrittenError",
    "Plan",
    "Run",
    "ServiceState",
    "Status",
    "Step",
    "Stream",
    "SubState",
    "Supervisor",
    "SystemdManager",
    "SystemdWebMonitor",
    "UnknownExperimentError",
    "UnreachableError",
    "WaitTimeoutError",
    "Why",
]
