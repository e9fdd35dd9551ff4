"""A generation's journal."""
from __future__ import annotations

from typing import Any

from generator.generation import Generation
from generator.llm import Piece
from generator.settings import GeneratorSettings
from generator.transcript import Transcript
from tests.refusing import Refusing


async def test_what_the_journal_had_no_room_for_comes_first_when_it_has() -> None:
    bus, transcript, unused = Refusing(), Transcript("r", 1, "main"), Any
    generation = Generation(
        bus, unused, unused, GeneratorSettings(), transcript, unused, unused, 0, lambda: None  # type: ignore[arg-type]
    )
    for number, text in enumerate(("one ", "two ")):
        piece = Piece(text=text, token_ids=(number,), channel="reasoning", first_token=number, first_char=4 * number)
        transcript.add(piece, at=0.0)
        await generation.journal()
    restored = Transcript("r", 1, "main")
    restored.restore(bus.stored)  # type: ignore[arg-type]
    assert len(bus.refused) == 1 and (restored.text, restored.ids) == ("one two ", [0, 1])
