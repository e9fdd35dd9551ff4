"""The line of an engine's log that says why it did not start."""
from __future__ import annotations

import pytest

from generator.engine.complaint import complaint

UNKNOWN = """\
                     [--enable-log-requests | --no-enable-log-requests]
                     [model_tag]
api_server.py: error: unrecognized arguments: --foo
"""
IN_A_WORKER = """\
(EngineCore pid=16903) ERROR 11-23 20:51:17 [core.py:1510]     raise ValueError(
(EngineCore pid=16903) ERROR 11-23 20:51:17 [core.py:1510] ValueError: the cache holds 96 tokens, 8192 are needed
    raise RuntimeError(
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
/usr/lib/resource_tracker.py:254: UserWarning: resource_tracker: There appear to be 1 leaked shared_memory objects
  warnings.warn('resource_tracker: There appear to be %d '
"""
VALIDATION = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (100000) is greater than the derived one.
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""
MEMORY = """\
(EngineCore pid=7) ERROR 11-23 20:51:17 [core.py:15] torch.OutOfMemoryError: CUDA out of memory. Tried 20 GiB.
(APIServer pid=3) INFO 11-23 20:51:18 [launcher.py:2] Shutting down
"""


@pytest.mark.parametrize(
    ("log", "code", "says"),
    [
        (UNKNOWN, 2, "api_server.py: error: unrecognized arguments: --foo"),
        (IN_A_WORKER, 1, "ValueError: the cache holds 96 tokens, 8192 are needed"),
        (VALIDATION, 1, "User-specified max_model_len (100000) is greater than the derived one."),
        (MEMORY, 1, "torch.OutOfMemoryError: CUDA out of memory. Tried 20 GiB."),
        ("(APIServer pid=3) INFO 11-23 20:51:18 [x.py:2] Loading weights", 1, "Loading weights"),
        ("Loading weights", -9, "it was killed by signal 9; where nobody did so, the host ran out of memory"),
        ("", 3, "it ended with code 3 and said nothing"),
    ],
)
def test_the_cause_is_found(log: str, code: int, says: str) -> None:
    assert complaint(log, code) == says


def test_a_long_line_is_cut_at_a_word() -> None:
    said = complaint("ValueError: " + "too long " * 100, 1)
    assert len(said) <= 402 and said.endswith("long …")
