"""Which inputs a candidate must get right: a plan drawn from a secret, as data.

Every case has seeds of its own, derived from the secret by a keyed hash, so that the weight seed a candidate is told
says nothing about the inputs it will see.
"""
from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Kind = Literal["own", "normal", "scaled", "large", "small", "negative", "sparse", "integers"]
"""`scaled` is the task's own draw times 1,000, `large` a normal one: of both signs whatever the task draws."""
Layout = Literal["own", "sliced", "strided"]
Rows = Literal["own", "fewer", "more"]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One call with one set of inputs."""

    name: str
    seed: int
    weight_seed: int
    """Seed set before the model is built. Consecutive cases with the same one may share a model."""
    kind: Kind = "own"
    layout: Layout = "own"
    rows: Rows = "own"
    first_only: bool = False
    """Of the inputs, only the first has its rows changed (a matrix product's second factor keeps its own)."""
    constants: tuple[tuple[str, int], ...] = ()
    """Module constants of the task set otherwise: another shape of the whole problem."""
    edits: str | None = None
    """Name of the case before it, whose buffers are edited in place: same pointers, a few elements changed.

    Its seeds and everything else but the name are that case's."""
    on_error: Literal["reject", "label"] = "reject"
    """What an exception says: a candidate may refuse, in words, what the task itself never asks."""
    on_wrong: Literal["reject", "label"] = "reject"
    label: str = ""
    """The label for what is not rejected."""

    @property
    def held_out(self) -> bool:
        """Whether its shapes are not the task's."""
        return self.rows != "own" or bool(self.constants)


def derive(secret: bytes, name: str) -> int:
    """A seed in 0..2**63-1 from a secret and a name (BLAKE2b, keyed)."""
    return int.from_bytes(hashlib.blake2b(name.encode(), key=secret[:64], digest_size=8).digest()) >> 1


def fresh_case(secret: bytes, index: int, *, weights: str = "weights-a") -> Case:
    """The task's own inputs drawn anew: for timed calls, each index another draw, the weights of the plan's first."""
    return Case(name=f"timed-{index}", seed=derive(secret, f"timed-{index}"), weight_seed=derive(secret, weights))


def base_cases(secret: bytes) -> list[Case]:
    """The cases every task gets, in the order they are run."""

    def case(name: str, weights: str = "weights-a", **fields: object) -> Case:
        values = {"seed": derive(secret, name), "weight_seed": derive(secret, weights), **fields}
        return msgspec.convert({"name": name, **values}, Case)

    return [
        case("own"),
        case("edited", edits="own", seed=derive(secret, "own")),
        case("own-again"),
        case("normal", kind="normal"),
        case("scaled", kind="scaled"),
        case("large", kind="large"),
        case("small", kind="small"),
        case("negative", kind="negative"),
        case("sparse", kind="sparse"),
        case("integers", kind="integers"),
        case("sliced", layout="sliced", on_error="label", label="layout_specialised"),
        case("strided", layout="strided", kind="normal", on_error="label", label="layout_specialised"),
        case("other-weights", "weights-b"),
        case("other-weights-normal", "weights-c", kind="normal"),
    ]


def row_cases(secret: bytes, *, first_only: bool) -> list[Case]:
    """Fewer and more rows than the task's own."""
    weights = derive(secret, "weights-a")
    return [
        Case(
            name=f"{rows}-rows", seed=derive(secret, f"{rows}-rows"), weight_seed=weights, rows=rows,
            first_only=first_only, on_error="label", label="shape_specialised",
        )
        for rows in ("fewer", "more")
    ]


def constant_case(secret: bytes, name: str, value: int) -> Case:
    """The whole problem with one of its constants set otherwise; right or labelled, never rejected."""
    return Case(
        name=f"{name}={value}", seed=derive(secret, f"{name}={value}"), weight_seed=derive(secret, "weights-a"),
        constants=((name, value),), on_error="label", on_wrong="label", label="shape_specialised",
    )
