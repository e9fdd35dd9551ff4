"""A finding in words: what the LLM and a person read."""
from __future__ import annotations

from common.judge.check.causes import cause_of
from common.judge.check.finding import Finding
from common.messages.judgement import Feedback

_INPUTS = {
    "own": "the task's own inputs",
    "normal": "normally distributed inputs",
    "scaled": "the task's inputs scaled up by 1,000",
    "large": "large inputs of both signs",
    "small": "the task's inputs scaled down by 1,000",
    "negative": "negative inputs",
    "sparse": "inputs with zeros and rows of zeros",
    "integers": "small whole numbers",
}
_LAYOUTS = {"own": "", "sliced": ", sliced from a wider tensor", "strided": ", transposed in memory"}
_ROWS = {"own": "", "fewer": ", with fewer rows", "more": ", with more rows"}


def to_feedback(finding: Finding, source: str = "") -> Feedback:
    """Summary with the inputs it happened on, differing elements, likely cause. `source` is the candidate's."""
    return Feedback(
        summary=f"{str(finding.outcome).replace('_', ' ')} on {describe(finding)}: {finding.what}{_pattern(finding)}",
        differences=finding.differences,
        cause=cause_of(finding, source),
    )


def describe(finding: Finding) -> str:
    """The inputs of the finding's case in words."""
    case = finding.case
    text = _INPUTS[case.kind] + _LAYOUTS[case.layout] + _ROWS[case.rows]
    if case.edits:
        text += " after a few elements were changed in place"
    if case.name.startswith("other-weights"):
        text += " and other weights"
    return text + "".join(f", with {name} = {value}" for name, value in case.constants)


def _pattern(finding: Finding) -> str:
    return f" ({finding.pattern})" if finding.pattern else ""
