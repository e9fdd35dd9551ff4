"""A transcript cut, journaled and restored is the same transcript."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.messages import TokenJournal
from generator.llm import Piece
from generator.transcript import Transcript


def feed(pieces: list[tuple[str, int, str]], ids_known: bool = True) -> Transcript:
    transcript, token, char = Transcript("r", 1, "main"), 0, 0
    for text, tokens, channel in pieces:
        ids = tuple(range(token, token + tokens)) if ids_known else None
        piece = Piece(text=text, token_ids=ids, channel=channel, first_token=token, first_char=char)  # type: ignore[arg-type]
        transcript.add(piece, at=0.0)
        token, char = token + tokens, char + len(text)
    return transcript


PIECES = [("think", 2, "reasoning"), ("ing</think>", 3, "reasoning"), ("answer", 1, "answer")]


def test_counts_and_cuts() -> None:
    transcript = feed(PIECES)
    assert transcript.token_counts() == (5, 1)
    assert transcript.answer == "answer" and transcript.text == "thinking</think>answer"
    assert transcript.cut(3, 8) == ("thinking", (0, 1, 2))
    assert feed(PIECES, ids_known=False).token_counts() == (len("thinking</think>") // 4, len("answer") // 4)


def test_a_position_that_is_not_there_yet_is_refused() -> None:
    for at in ((7, 8), (None, 100)):
        try:
            feed(PIECES).cut(*at)
        except ValueError as error:
            assert "not generated yet" in str(error)
        else:
            raise AssertionError("no error")


pieces = st.tuples(st.text(min_size=1, max_size=6), st.integers(0, 3), st.just("reasoning"))
steps = st.lists(pieces | st.sampled_from(["journal", "refused"]), max_size=20)


@given(steps, st.lists(st.tuples(st.text(min_size=1, max_size=6), st.integers(0, 3), st.just("answer")), max_size=4),
       st.booleans(), st.booleans())
def test_the_journal_restores_everything_it_holds(reasoning: list, answer: list, ids_known: bool, twice: bool) -> None:
    transcript, entries = Transcript("r", 1, "main"), []
    token = char = 0

    def journal() -> None:
        while (entry := transcript.journal_entry()) is not None:
            entries.extend([entry, entry] if twice else [entry])
            transcript.journaled(entry)

    for step in [*reasoning, *answer]:
        if step == "journal":
            journal()
            continue
        if step == "refused":
            transcript.journal_entry()
            continue
        text, tokens, channel = step
        ids = tuple(range(token, token + tokens)) if ids_known else None
        transcript.add(Piece(text=text, token_ids=ids, channel=channel, first_token=token, first_char=char), at=0.0)
        token, char = token + tokens, char + len(text)
    journal()
    restored = Transcript("r", 1, "main")
    restored.restore(entries)
    assert (restored.text, restored.answer, restored.ids) == (transcript.text, transcript.answer, transcript.ids)
    assert restored.token_counts() == transcript.token_counts()
    assert restored.deltas == transcript.deltas
    assert restored.journal_entry() is None
    assert all(isinstance(entry, TokenJournal) for entry in entries)
