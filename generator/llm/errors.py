"""What can go wrong with an endpoint. Each message is one sentence that says what to do."""
from __future__ import annotations

from common.errors import SpecgenError


class EndpointProblem(SpecgenError):
    """Base of all of them."""


class Unreachable(EndpointProblem):
    """No connection, after retries."""


class NotAnEndpoint(EndpointProblem):
    """Something answers, but not an OpenAI-compatible API."""


class Unauthorized(EndpointProblem):
    """401 or 403."""


class WrongModel(EndpointProblem):
    """The endpoint serves other models."""


class ContextOverflow(EndpointProblem):
    """Prompt and answer do not fit into the model's context."""


class Refused(EndpointProblem):
    """Any other 4xx: the same request will be refused again."""


class CannotContinue(EndpointProblem):
    """This endpoint cannot go on from a given prefix."""


class Overloaded(EndpointProblem):
    """429 or 5xx, after retries."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds the endpoint asked to wait, if it said so."""


class StreamBroken(EndpointProblem):
    """The stream ended, or turned unreadable, before the generation did. What arrived is valid: go on from it."""


class StreamStalled(StreamBroken):
    """The connection is open and nothing arrives."""
