"""A finding in words: what the LLM and a person read."""
from __future__ import annotations

from common.judge.check.compare import Finding
from common.messages.judgement import Feedback


def to_feedback(finding: Finding) -> Feedback:
    """Summary with the case, differing elements, and the likely cause with the way to mend it."""
    return Feedback(
        summary=f"{finding.outcome.replace('_', ' ')} on {finding.case} inputs: {finding.what}",
        differences=finding.differences,
        cause="",
    )
