"""What can go wrong, as exceptions: one class for each code of the API."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Type


class BrainjarError(Exception):
    """brainjar could not be asked, or has refused.

    ``message`` says what and why, ``hint`` what to do about it ("" if there is
    nothing to say), ``code`` is for programs, ``details`` are all problems of a
    configuration, and ``status`` is that of HTTP (0: there was no answer).
    """

    code = "internal"

    def __init__(
        self, message: str, hint: str = "", code: str = "", details: Sequence[str] = (), status: int = 0
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.code
        self.details = list(details)
        self.status = status

    def __str__(self) -> str:
        text = "; ".join([self.message, *(d for d in self.details if d not in self.message)])
        return f"{text} ({self.hint})" if self.hint else text


class UnreachableError(BrainjarError):
    """No brainjar answers on the socket, or it stopped answering."""

    code = "unreachable"


class WaitTimeoutError(BrainjarError, TimeoutError):
    """What was waited for did not happen in time. Nothing was undone."""

    code = "wait-timeout"


class BadRequestError(BrainjarError):
    """The request itself is wrong: an argument, or this package is newer than brainjar."""

    code = "bad-request"


class ForbiddenError(BrainjarError):
    """This user may not do that, or not with these keys."""

    code = "forbidden"


class UnknownExperimentError(BrainjarError):
    """There is no experiment of that id."""

    code = "unknown"


class ConflictError(BrainjarError):
    """The experiment exists already, or is in another phase than that needs."""

    code = "conflict"


class ConfigError(BrainjarError):
    """Keys or values of a configuration are wrong; ``details`` has all problems."""

    code = "config"


class NotAdmittedError(BrainjarError):
    """The experiment could never start here: it asks for more than there is."""

    code = "not-admitted"


class NotReadyError(BrainjarError):
    """brainjar does not know yet what runs, or is ending."""

    code = "not-ready"


class NotWrittenError(BrainjarError):
    """The order was obeyed, but is not on disk: it would not survive brainjar."""

    code = "not-written"


class EventsLostError(BrainjarError):
    """Events happened faster than they were read, and some were lost."""

    code = "behind"


class AnswerTimeoutError(BrainjarError):
    """systemd or the disk does not answer brainjar. What was ordered may still be done."""

    code = "timeout"


class NoJournalError(BrainjarError):
    """The output of experiments cannot be read on this machine."""

    code = "no-journal"


_CLASSES: Dict[str, Type[BrainjarError]] = {
    "no-route": BadRequestError,
    "too-large": BadRequestError,
    **{
        c.code: c
        for c in (
            BadRequestError,
            ForbiddenError,
            UnknownExperimentError,
            ConflictError,
            ConfigError,
            NotAdmittedError,
            NotReadyError,
            NotWrittenError,
            EventsLostError,
            AnswerTimeoutError,
            NoJournalError,
        )
    },
}


def refusal(answer: Any, status: int = 0) -> BrainjarError:
    """Turns the JSON of a refusal into the exception of its code."""
    if not isinstance(answer, dict) or not isinstance(answer.get("error"), str):
        words = f"brainjar answered {status}" if status else "brainjar ended the stream"
        return BrainjarError(words, status=status)
    code = str(answer.get("code") or "internal")
    return _CLASSES.get(code, BrainjarError)(
        answer["error"],
        hint=str(answer.get("hint") or ""),
        code=code,
        details=[str(d) for d in answer.get("details") or ()],
        status=status,
    )
