"""The same short timing and shared cache as for the pipeline."""
from tests.pipeline.conftest import short_and_cached

__all__ = ["short_and_cached"]
