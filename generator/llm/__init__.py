"""The LLM client: one streaming interface over every OpenAI-compatible endpoint.

`endpoint.py` is the way in. It finds out what an endpoint can do (`probe`), opens a prompt, streams pieces of a
generation, and cuts forks and continuations out of one. Positions are exact wherever the endpoint reports token ids.
"""
from generator.llm.capabilities import Capabilities
from generator.llm.channels import Piece
from generator.llm.endpoint import Endpoint
from generator.llm.errors import (
    CannotContinue,
    ContextOverflow,
    EndpointProblem,
    NotAnEndpoint,
    Overloaded,
    Refused,
    StreamBroken,
    StreamStalled,
    Unauthorized,
    Unreachable,
    WrongModel,
)
from generator.llm.http import Patience
from generator.llm.profiles import Profile, profile_for
from generator.llm.prompt import Prompt
from generator.llm.sampling import FORK, MAIN, Sampling
from generator.llm.wire import Usage

__all__ = [
    "FORK", "MAIN",
    "CannotContinue", "Capabilities", "ContextOverflow", "Endpoint", "EndpointProblem", "NotAnEndpoint", "Overloaded",
    "Patience", "Piece", "Profile", "Prompt", "Refused", "Sampling", "StreamBroken", "StreamStalled", "Unauthorized",
    "Unreachable", "Usage", "WrongModel", "profile_for",
]
