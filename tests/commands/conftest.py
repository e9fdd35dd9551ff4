"""The same short timing as for the pipeline."""
from tests.pipeline.conftest import short

__all__ = ["short"]
