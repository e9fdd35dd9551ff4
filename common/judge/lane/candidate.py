"""A candidate's process as the judge drives it: load, build the model, call. What goes wrong becomes an outcome."""
from __future__ import annotations

import math
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from common.judge.faults import JudgeFault, ProcessUnusable
from common.judge.lane.clocked import Answered, Clocked
from common.judge.lane.ended import (
    CandidateEnded,
    closed_its_socket,
    from_exit,
    from_failure,
    out_of_line,
    too_slow,
)
from common.judge.lane.spares import Spare
from common.judge.lane.waits import Waits
from common.judge.protocol import (
    FRAME_LIMIT,
    Arena,
    Build,
    Built,
    Call,
    Collect,
    Collected,
    Construct,
    Constructed,
    Count,
    Counted,
    Extension,
    Failed,
    Foresee,
    Foreseen,
    Further,
    Load,
    Loaded,
    Made,
    Make,
    Mapped,
    Ready,
    Weigh,
    Weighed,
    Weight,
    answer_decoder,
    encode,
)
from common.judge.settings import JudgeSettings
from common.judge.shortage import shortage
from common.judge.tree import Tree
from common.judge.wire import FrameTooLarge, recv_frame, send_frame

Builder = Callable[[Extension], Built]
"""Builds or finds an extension; runs outside of the candidate's process."""


_GRACE_SECONDS = 10.0
"""Beyond the time that a counting process gives itself."""
_GOODBYE_SECONDS = 2.0
"""How long a process that hung up may take to be reported dead."""


def _nothing() -> None:
    return


class Candidate:
    """Raises CandidateEnded with the outcome where the candidate fails, JudgeFault where we do."""

    def __init__(self, spare: Spare, settings: JudgeSettings, builder: Builder) -> None:
        self._spare = spare
        self._settings = settings
        self._builder = builder
        self.arena: Any = None
        self.gates = True
        """Whether its timed calls are launched behind a gate; not those that wait for the device themselves
        (`sizing.py`)."""
        self.own_code = False
        """Whether it has code of its own, once a model was made."""

    def await_ready(self) -> float:
        """Seconds the spare took to prepare its device."""
        deadline = time.monotonic() + self._settings.spare_seconds
        try:
            answer = self._hear(deadline)
        except TimeoutError:
            hung = self._spare.spec.role == "cuda"
            raise JudgeFault("a spare was not ready in time", quarantine=hung) from None
        except (EOFError, ConnectionError):
            self._spare.await_exit(_GOODBYE_SECONDS)
            fault = ProcessUnusable if self._spare.lost else JudgeFault
            raise fault(f"a spare died before it was ready: {self._spare.read_log()[-500:]}") from None
        if not isinstance(answer, Ready):
            raise JudgeFault(f"a spare answered {answer} instead of being ready")
        return answer.seconds

    def load(
        self, source: str, files: dict[str, bytes], precision: str, kernels: dict[str, bytes] | None = None
    ) -> None:
        order = Load(source=source, files=files, kernels=kernels or {}, precision=precision)
        self._ask(order, Loaded, self._settings.load_seconds)

    def collect(self) -> dict[str, bytes]:
        """What Triton has compiled in it."""
        collected: Collected = self._ask(Collect(), Collected, self._settings.load_seconds)
        return collected.kernels

    def construct(self, task: str) -> None:
        """Make the model for the extensions that it asks for, in a process that has loaded the source."""
        self._ask(Construct(task=task), Constructed, self._settings.load_seconds)

    def foresee(self, order: Foresee) -> Foreseen:
        """Compile for calls without a device, in a process that has loaded the source."""
        foreseen: Foreseen = self._ask(order, Foreseen, order.seconds + _GRACE_SECONDS)
        return foreseen

    def count(self, order: Count) -> Counted:
        """Counters of a source, in a process that has loaded none."""
        counted: Counted = self._ask(order, Counted, order.seconds + _GRACE_SECONDS)
        return counted

    def share(self, make: Callable[[], Any]) -> None:
        """Give it a new arena, which calls use from here on. The former one goes first: a device may not have room for
        both."""
        if self.arena is not None:
            self._ask(Arena(size=0), Mapped, self._settings.load_seconds)
            self.close()
        self.arena = make()
        self._ask(Arena(size=self.arena.size), Mapped, self._settings.load_seconds, (self.arena.fd,))

    def close(self) -> None:
        """Give the arena back."""
        if self.arena is not None:
            self.arena.close()
            self.arena = None

    def make(self, weight_seed: int, arguments: Tree) -> None:
        order = Make(weight_seed=weight_seed, arguments=arguments)
        made: Made = self._ask(order, Made, self._settings.load_seconds)
        self.own_code = made.own_code

    def weigh(self) -> tuple[Weight, ...]:
        """What the model's weights are like, as the candidate's process says."""
        weighed: Weighed = self._ask(Weigh(), Weighed, self._settings.call_seconds)
        return weighed.weights

    def call(
        self, inputs: Tree, *, poison: int | None = None, edited: bool = False, empty: bool = False, hold: bool = False,
        thaw: bool = False, more: Sequence[Tree] = (), trace: bool = False, ready: Callable[[], None] | None = None,
    ) -> Answered:
        """One call, and `more` in the same window. With `thaw` the candidate is frozen, and is let go for the call.
        `ready` is run right before the clock, and before inputs are copied in."""
        nonce, paced = secrets.randbits(63), thaw and not trace and self.arena.apart
        room, places = self.arena.places(1 + len(more))
        gate = self.arena.gate() if paced and self.gates else None
        order = encode(Call(
            nonce=nonce, inputs_at=self.arena.inputs_at, inputs=inputs, outputs_at=places[0], outputs_room=room,
            poison=poison, edited=edited, empty=empty, hold=hold, trace=trace, paced=paced, gate=gate,
            more=tuple(Further(inputs=tree, outputs_at=at) for tree, at in zip(more, places[1:], strict=True)),
        ))
        with self._judged("call"):
            deadline = time.monotonic() + self._settings.call_seconds
            clocked = Clocked(self._spare, self.arena, self._answer, ready or _nothing, deadline)
            if gate:
                answered = clocked.gated(order)
            else:
                answered = clocked.paced(order) if paced else clocked.whole(order, thaw=thaw)
            if answered.done.nonce != nonce or len(answered.done.more) != len(more):
                raise out_of_line("an answer to another call than the one under way")
            if not math.isfinite(answered.done.span):
                raise out_of_line(f"a call of {answered.done.span} seconds by its own clock")
            return answered

    def waits(self) -> Waits:
        """A count of how long its threads stand ready while others have their cores."""
        return Waits(self._spare.warden, beside=not self.arena.apart or len(self._spare.spec.cores) == 1)

    def freeze(self) -> None:
        with self._judged("freeze"):
            self._spare.freeze(time.monotonic() + self._settings.call_seconds)

    def thaw(self) -> None:
        self._spare.thaw()

    def kill(self) -> None:
        self._spare.kill()

    def _ask(self, order: Any, wanted: Any, seconds: float, fds: tuple[int, ...] = ()) -> Any:
        step = type(order).__name__.lower()
        with self._judged(step):
            deadline = time.monotonic() + seconds
            send_frame(self._spare.work, encode(order), fds, deadline=deadline)
            answer = self._hear(deadline)
            while isinstance(answer, Build):
                began = time.monotonic()
                built = self._builder(answer.extension)
                deadline += time.monotonic() - began
                send_frame(self._spare.work, encode(built), deadline=deadline)
                answer = self._hear(deadline)
            return self._expected(answer, wanted, step)

    def _answer(self, deadline: float, wanted: Any) -> Any:
        return self._expected(self._hear(deadline), wanted, "call")

    def _hear(self, deadline: float) -> Any:
        self._spare.wait_readable(deadline)
        frame = recv_frame(self._spare.work, FRAME_LIMIT, deadline)
        try:
            return answer_decoder.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise out_of_line(f"a frame that is none: {error}") from None

    def _expected(self, answer: Any, wanted: Any, step: str) -> Any:
        if isinstance(answer, Failed):
            if answer.kind == "memory":
                shortage.of_another()
            raise from_failure(answer, step, self._spare.read_log())
        if not isinstance(answer, wanted):
            raise out_of_line(f"{type(answer).__name__} where {wanted.__name__} was due")
        return answer

    def _ended(self, step: str) -> CandidateEnded:
        """Why the candidate's process is gone. JudgeFault where it was ended from outside."""
        self._spare.await_exit(_GOODBYE_SECONDS)
        out_of_memory = self._spare.group.killed_for_memory()
        if self._spare.exit is None and not out_of_memory:
            if self._spare.lost:
                raise ProcessUnusable("a candidate's process was ended from outside of its sandbox") from None
            return closed_its_socket(step)
        status = self._spare.exit[0] if self._spare.exit else signal.SIGKILL
        return from_exit(status, step, out_of_memory, self._spare.read_log())

    @contextmanager
    def _judged(self, step: str) -> Iterator[None]:
        """Turn the ways a process can fail us into outcomes."""
        try:
            yield
        except TimeoutError:
            raise too_slow(step) from None
        except (EOFError, ConnectionError):
            raise self._ended(step) from None
        except FrameTooLarge as error:
            raise out_of_line(str(error)) from None


__all__ = ["Answered", "Candidate", "CandidateEnded"]
