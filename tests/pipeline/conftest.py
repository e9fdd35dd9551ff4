"""One compile cache for all of these tests."""
from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def judge_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECGEN_JUDGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
