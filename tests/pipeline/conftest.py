"""Timing that is short: these tests are about the pipeline, not the figures."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

SHORT = {
    "SPECGEN_JUDGE_PAIRS": "6", "SPECGEN_JUDGE_PAIRS_MOST": "8", "SPECGEN_JUDGE_TIME_SECONDS": "1",
    # Forks wherever code is complete, so that it is known beforehand which candidates there will be.
    "SPECGEN_TRIGGER_POLICY": "first", "SPECGEN_TRIGGER_MOST_FORKS_AT_ONCE": "1",
    # A killed worker's job and lease come back soon.
    "SPECGEN_VALIDATOR_ACK_WAIT": "3", "SPECGEN_PROFILER_ACK_WAIT": "3", "SPECGEN_GENERATOR_ACK_WAIT": "3",
    "SPECGEN_BUS_LEASE_SECONDS": "3",
}


@pytest.fixture(scope="package", autouse=True)
def short() -> Iterator[None]:
    """For this package alone: other tests rely on the defaults."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SHORT.items():
            patch.setenv(name, value)
        yield
