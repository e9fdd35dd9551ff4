"""Every message on the bus, as frozen structs that carry their own subject.

`base` has the envelope, one module a family has the messages, `registry` finds the class for a subject.
"""
from common.messages.base import PREFIX, Fact, Message, decode, encode, pattern
from common.messages.campaign import Budget, CancelRun, Llm, RunSubmitted, TaskSource
from common.messages.commands import AbortRequest, ForkRequest, StopRequest
from common.messages.engine import EngineMeasured
from common.messages.facts import (
    CandidateDuplicated,
    CandidateProposed,
    CandidateSettled,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    IterationStarted,
    RequestIgnored,
    ResultAccepted,
    ResultIgnored,
    RunEnded,
    RunStarted,
)
from common.messages.judgement import Difference, Feedback, Judgement, Measurement, Outcome
from common.messages.kv import (
    MemoryReserved,
    PoolAnnounced,
    PoolGrown,
    PoolReleased,
    PoolShrunk,
    ReleaseMemory,
    ReservationDecided,
    ReservationEnded,
    ReserveMemory,
    TaskOutgrew,
    TransfersPaused,
    TransfersResumed,
)
from common.messages.ops import (
    AttemptFailed,
    AttemptRevoked,
    AttemptStarted,
    DeviceAssigned,
    LeaseReleased,
    LeaseTaken,
    QueueDepth,
    WorkerBeat,
    WorkerLeft,
)
from common.messages.placement import Outlook, Placement, PrefixLocated
from common.messages.registry import ALL, message_type
from common.messages.tokens import TokenDelta, TokenJournal
from common.messages.work import Assignment, Cancel, DeadLetter, Job, Profile, Result, Stage, Verdict

__all__ = [
    "ALL", "PREFIX",
    "AbortRequest", "Assignment", "AttemptFailed", "AttemptRevoked", "AttemptStarted", "Budget", "Cancel", "CancelRun",
    "CandidateDuplicated", "CandidateProposed", "CandidateSettled", "DeadLetter", "DeviceAssigned", "Difference",
    "EngineMeasured", "Fact", "Feedback", "ForkRequest", "GenerationEnded", "GenerationStarted", "IterationEnded",
    "IterationStarted", "Job", "Judgement", "LeaseReleased", "LeaseTaken", "Llm", "Measurement", "MemoryReserved",
    "Message", "Outcome", "Outlook", "Placement", "PoolAnnounced", "PoolGrown", "PoolReleased", "PoolShrunk",
    "PrefixLocated", "Profile", "QueueDepth", "ReleaseMemory", "RequestIgnored", "ReservationDecided",
    "ReservationEnded", "ReserveMemory", "Result", "ResultAccepted", "ResultIgnored", "RunEnded", "RunStarted",
    "RunSubmitted", "Stage", "StopRequest", "TaskOutgrew", "TaskSource", "TokenDelta", "TokenJournal",
    "TransfersPaused", "TransfersResumed", "Verdict", "WorkerBeat", "WorkerLeft", "decode", "encode", "message_type",
    "pattern",
]
