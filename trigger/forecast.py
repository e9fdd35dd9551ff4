"""How much of the reasoning is still to come, given how far it has got.

Lengths differ between tasks far more than between samples of one task (recorded: 0.83 against 0.23, standard deviation
of the logarithm), so what a run has seen of its own iterations soon outweighs what was recorded of others.
"""
from __future__ import annotations

import msgspec

from trigger.priors import Priors

_SPREAD = (0.74, 0.87, 1.0, 1.14, 1.35)
"""A task's next length over a seen one: five quantiles of a lognormal of 0.23."""
_SEEN_WEIGHT = 1.0
"""What one iteration of the run counts for against all that was recorded. Not more: those that were stopped are not
seen, so that the seen ones are longer than the next will be."""


class Rest(msgspec.Struct, frozen=True):
    """Tokens of reasoning and answer that may be left, each with its weight; the weights add up to 1."""

    tokens: tuple[tuple[float, float], ...]

    def beyond(self, lead: float) -> float:
        """Expected tokens left after `lead` more."""
        return sum(weight * max(0.0, left - lead) for left, weight in self.tokens)

    def within(self, lead: float) -> float:
        """Probability that fewer than `lead` are left."""
        return sum(weight for left, weight in self.tokens if left < lead)


def forecast(table: Priors, so_far: float, seen: tuple[int, ...]) -> Rest:
    lengths = [(float(length), 1 / len(table.reasoning_tokens)) for length in table.reasoning_tokens]
    lengths += [(length * factor, _SEEN_WEIGHT / len(_SPREAD)) for length in seen for factor in _SPREAD]
    possible = [(length, weight) for length, weight in lengths if length > so_far] or [(so_far, 1.0)]
    total = sum(weight for _, weight in possible)
    return Rest(tuple((length - so_far + table.fork_tokens, weight / total) for length, weight in possible))
