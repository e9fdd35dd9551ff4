"""The useful part of a compiler's or Python's message."""
from __future__ import annotations

from common.messages.judgement import Feedback


def compiler_feedback(text: str) -> Feedback:
    return Feedback(summary="the kernel does not compile", message=text[-4000:])
