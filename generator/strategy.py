"""The next prompt from a run's facts. Pure.

`refine` shows the best kernel so far and asks for a faster one; `explore` shows what was tried and asks for another
approach. Whatever does not fit into the limit is left out from the oldest result on, the task never.
"""
from __future__ import annotations

from common.errors import UsageError
from common.messages import Feedback, Stage
from generator.state import Candidate, RunState

STRATEGIES = ("refine", "explore")
CHARS_PER_TOKEN = 4
"""Rough, for the limit only: code in byte-pair tokens averages 3 to 4 characters."""

_RULES = """\
Write a faster drop-in replacement for the PyTorch module below.

Rules
- Answer with one complete Python file in one fenced block. It defines `class ModelNew(nn.Module)` with the same
  constructor and forward arguments as `Model`, and returns the same values.
- Write the kernel yourself: {how}.
- Values are compared with a double-precision reference; precision: {precision}.
- Both models are built under the same seed, nothing is copied: create the parameters and modules that `Model` draws at
  random in the same order and the same way, so that the weights are equal.
"""
_HOW = {
    "cpu": "C++ with OpenMP or SIMD through torch.utils.cpp_extension.load_inline",
    "cuda": "Triton, or CUDA through torch.utils.cpp_extension.load_inline",
}
_PRECISION = {
    "fp32": "fp32 throughout (tl.dot needs input_precision=\"ieee\"; tf32 and half precision are refused)",
    "tf32": "tf32 products are allowed, half precision is not",
    "bf16": "bf16 products with fp32 accumulation are allowed",
}


def next_prompt(state: RunState, *, token_limit: int) -> str:
    """The prompt of the iteration after those in `state`. UsageError where the task alone exceeds `token_limit`."""
    started = state.started
    assert started is not None
    number = len(state.iterations) + 1
    head = _head(state, number)
    room = token_limit * CHARS_PER_TOKEN - len(head)
    if room < 0:
        raise UsageError(f"the task needs about {len(head) // CHARS_PER_TOKEN} tokens, the limit is {token_limit}")
    parts: list[str] = []
    for section in _sections(state, number):
        if len(section) <= room:
            parts.append(section)
            room -= len(section)
    return head + "".join(parts) + _closing(state)


def _head(state: RunState, number: int) -> str:
    started = state.started
    assert started is not None
    rules = _RULES.format(how=_HOW[started.device], precision=_PRECISION[started.task.precision])
    hardware = f"\nHardware: {started.hardware}\n" if started.hardware else ""
    return (
        f"Iteration {number} of {started.budget.iterations}\n\n{rules}{hardware}\n"
        f"## Task\n```python\n{started.task.source.rstrip()}\n```\n"
    )


def _sections(state: RunState, number: int) -> list[str]:
    """In order of worth: the last results, the best kernel, the last failures at length, earlier results."""
    latest = state.of_iteration(number - 1) if number > 1 else []
    sections = [_results(number - 1, latest)] if number > 1 else []
    best = state.best()
    if best is not None:
        sections.append(_best(best))
    sections += [_failure(c) for c in latest if _failed(c)]
    sections += [_results(k, state.of_iteration(k)) for k in range(number - 2, 0, -1)]
    return sections


def _results(iteration: int, candidates: list[Candidate]) -> str:
    lines = [_line(candidate) for candidate in candidates] or ["- none: no complete ModelNew was found"]
    return f"\n## Results of iteration {iteration}\n" + "\n".join(lines) + "\n"


def _line(candidate: Candidate) -> str:
    proposed, settled = candidate.proposed, candidate.settled
    text = f"- {proposed.candidate} ({proposed.origin}): "
    if settled is None or settled.outcome is None:
        return text + "not measured"
    if settled.speedup is not None:
        return text + f"{settled.outcome}, {settled.speedup:.2f}x of eager{_limits(candidate)}"
    return text + f"{settled.outcome}: {_feedback(candidate).summary}"


def _limits(candidate: Candidate) -> str:
    summary = _feedback(candidate).summary
    return f"; {summary}" if summary else ""


def _best(candidate: Candidate) -> str:
    speedup = candidate.settled.speedup if candidate.settled else None
    return f"\n## Best so far: {speedup:.2f}x of eager\n```python\n{candidate.proposed.source.rstrip()}\n```\n"


def _failed(candidate: Candidate) -> bool:
    settled = candidate.settled
    return settled is not None and settled.outcome is not None and settled.speedup is None


def _failure(candidate: Candidate) -> str:
    """A failure with its evidence. Foreign text is fenced: it is material, not instruction."""
    feedback = _feedback(candidate)
    text = f"\n### Why {candidate.proposed.candidate} failed\n{feedback.summary}\n"
    if feedback.cause:
        text += f"Likely cause: {feedback.cause}\n"
    for d in feedback.differences[:4]:
        text += f"at {list(d.index)}: expected {d.expected:.7g}, got {d.got:.7g}\n"
    if feedback.message:
        text += f"~~~~text\n{feedback.message.replace('~~~~', '~ ~ ~ ~')}\n~~~~\n"
    return text


def _feedback(candidate: Candidate) -> Feedback:
    result = candidate.results.get(Stage.PROFILE) or candidate.results.get(Stage.VALIDATE)
    return result.judgement.feedback if result else Feedback(summary="not measured")


def _closing(state: RunState) -> str:
    assert state.started is not None
    if state.started.strategy == "explore":
        return "\nTry an approach that differs in kind from all of the above, and explain the choice before the code.\n"
    return "\nMake it faster than the best so far; if a result above failed, do not repeat its mistake.\n"
