"""How a candidate's process failed, in the words of an outcome."""
from __future__ import annotations

import os
import signal
from typing import Any

from common.judge.foreign_text import compiler_feedback, delimit, useful_part
from common.judge.protocol import Failed
from common.messages.judgement import Feedback, Outcome

_STEPS = {"load": "while its module was imported", "make": "while ModelNew was built", "call": "in forward"}


class CandidateEnded(Exception):
    """The candidate's verdict is known."""

    def __init__(self, outcome: Outcome, feedback: Feedback, record: dict[str, Any] | None = None) -> None:
        super().__init__(feedback.summary)
        self.outcome = outcome
        self.feedback = feedback
        self.record = record or {}
        self.in_words = False
        """Whether the process said so itself, by an exception, and lives on."""
        self.device_suspect = outcome is Outcome.TIMEOUT
        """Whether the device should be probed before anything else is believed of it."""


def too_slow(step: str) -> CandidateEnded:
    summary = f"no end within the time allowed {_where(step)}"
    cause = "an endless loop, a deadlock, or far too slow a kernel"
    return CandidateEnded(Outcome.TIMEOUT, Feedback(summary=summary, cause=cause))


def out_of_line(what: str) -> CandidateEnded:
    return CandidateEnded(Outcome.CHEATED, Feedback(
        summary=f"the candidate's process spoke to the judge by itself: {what}",
        cause="a kernel has no business with the harness's descriptors: return the result from forward",
    ))


def closed_its_socket(step: str) -> CandidateEnded:
    return CandidateEnded(Outcome.RUNTIME_ERROR, Feedback(
        summary=f"the process closed the descriptor it answers through {_where(step)}",
        cause="a candidate must not close descriptors that it did not open",
    ))


def from_exit(status: int, step: str, out_of_memory: bool, log: str) -> CandidateEnded:
    """From a wait status: the process ended without an answer."""
    log = delimit(useful_part(log))
    if out_of_memory:
        return CandidateEnded(Outcome.OUT_OF_MEMORY, Feedback(
            summary=f"more host memory than allowed {_where(step)}", message=log,
        ))
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return CandidateEnded(Outcome.RUNTIME_ERROR, Feedback(
            summary=f"the process died of {_name(number)} {_where(step)}", message=log,
            cause=_SIGNALS.get(number, ""),
        ))
    return CandidateEnded(Outcome.RUNTIME_ERROR, Feedback(
        summary=f"the process exited with code {os.WEXITSTATUS(status)} {_where(step)}", message=log,
        cause="a candidate returns from forward; it must not end its process",
    ))


def _name(number: int) -> str:
    """Most real-time signals have none."""
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")


_SIGNALS: dict[int, str] = {
    signal.SIGSEGV: "an access outside of a buffer: check index arithmetic, tails and contiguity",
    signal.SIGBUS: "an access outside of a buffer, or more of /dev/shm than there is",
    signal.SIGABRT: "an uncaught C++ exception, a failed assertion or a corrupted heap",
    signal.SIGFPE: "an integer division by zero",
    signal.SIGILL: "an instruction this processor does not have: compile with -march=native, not for a newer one",
    signal.SIGSYS: "a system call no kernel needs",
    signal.SIGKILL: "it killed itself, or the whole host ran out of memory",
    signal.SIGXFSZ: "a file larger than the sandbox allows",
}


def from_failure(failure: Failed, step: str, log: str) -> CandidateEnded:
    """From an exception that the candidate's process told."""
    ended = _in_words(failure, step, log)
    ended.in_words = failure.kind != "device"
    ended.device_suspect = failure.kind == "device"
    return ended


def _in_words(failure: Failed, step: str, log: str) -> CandidateEnded:
    text = f"Traceback (most recent call last):\n{failure.traceback}{failure.type_name}: {failure.text}"
    match failure.kind:
        case "build":
            return CandidateEnded(Outcome.COMPILE_ERROR, compiler_feedback(failure.text))
        case "memory":
            summary = f"out of memory {_where(step)}: {_first_line(failure.text)}"
            return CandidateEnded(Outcome.OUT_OF_MEMORY, Feedback(summary=summary, message=delimit(useful_part(text))))
        case "return":
            summary = f"forward returned what is no result: {failure.text}"
            return CandidateEnded(Outcome.WRONG_SHAPE, Feedback(summary=summary))
    if step == "load" and failure.type_name in ("SyntaxError", "IndentationError", "TabError", "NoModel"):
        summary = f"the candidate is no module with a class ModelNew: {_first_line(failure.text)}"
        return CandidateEnded(Outcome.COMPILE_ERROR, Feedback(summary=summary, message=delimit(useful_part(text))))
    return CandidateEnded(Outcome.RUNTIME_ERROR, Feedback(
        summary=f"{failure.type_name} {_where(step)}: {_first_line(failure.text)}",
        message=delimit(useful_part(f"{log}\n{text}" if log else text)),
    ))


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0][:300]


def _where(step: str) -> str:
    return _STEPS.get(step, f"during {step}")
