"""What one generation has produced so far: its token ids, its text, and where the answer begins. Pure."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from common.messages import TokenDelta, TokenJournal
from generator.llm import Piece

CHARS_PER_TOKEN = 4
"""Stands in for counts where the endpoint reports no token ids."""


@dataclass
class Transcript:
    run: str
    iteration: int
    generation: str
    ids: list[int] | None = field(default_factory=list)
    """None once the endpoint has sent text without ids."""
    deltas: int = 0
    chars: int = 0
    reasoning_tokens: int = 0
    answer_tokens: int = 0
    _texts: list[str] = field(default_factory=list)
    _answer: list[str] = field(default_factory=list)
    _reasoning_chars: int = 0
    _journaled: tuple[int, int, int] = (0, 0, 0)
    """Entries, tokens and texts already in the journal, the entry that is not known to be stored included."""
    _unstored: TokenJournal | None = None

    def add(self, piece: Piece, at: float) -> TokenDelta:
        """Take in a piece; returns it as the delta readers get."""
        delta = TokenDelta(
            run=self.run, iteration=self.iteration, generation=self.generation, seq=self.deltas, at=at,
            first_token=piece.first_token, token_ids=piece.token_ids, first_char=piece.first_char, text=piece.text,
            channel=piece.channel,
        )
        self.deltas += 1
        self._take(piece.text, piece.token_ids, answer=piece.channel == "answer")
        return delta

    def restore(self, entries: Iterable[TokenJournal]) -> None:
        """Take in what a former generator journaled, in order; an entry published twice counts once."""
        for entry in entries:
            if entry.first_char == 0 and entry.seq >= self._journaled[0] > 0:
                self.start_over()
            if entry.first_char == self.chars:
                self._restore(entry)
                self.deltas = entry.deltas
                self._journaled = (entry.seq + 1, len(self.ids or ()), len(self._texts))

    def _restore(self, entry: TokenJournal) -> None:
        ids, cut = entry.token_ids, entry.reasoning_chars
        for text, part, answer in (
            (entry.text[:cut], ids and ids[: entry.reasoning_tokens], False),
            (entry.text[cut:], ids and ids[entry.reasoning_tokens :], True),
        ):
            if text or part:
                self._take(text, part, answer=answer)

    def _take(self, text: str, ids: tuple[int, ...] | None, *, answer: bool) -> None:
        if ids is None:
            self.ids = None
        elif self.ids is not None:
            self.ids.extend(ids)
        self._texts.append(text)
        self.chars += len(text)
        if answer:
            self._answer.append(text)
            self.answer_tokens += len(ids or ())
        else:
            self._reasoning_chars += len(text)
            self.reasoning_tokens += len(ids or ())

    def start_over(self) -> None:
        """Forget the text, keep counting deltas: readers see positions begin at 0 again."""
        self.ids, self.chars, self.reasoning_tokens, self.answer_tokens = [], 0, 0, 0
        self._texts, self._answer, self._reasoning_chars = [], [], 0
        self._journaled = (self._journaled[0], 0, 0)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def answer(self) -> str:
        return "".join(self._answer)

    @property
    def tokens_known(self) -> bool:
        return self.ids is not None

    def token_counts(self) -> tuple[int, int]:
        """(reasoning, answer) in tokens; characters / 4 where the endpoint reports no ids."""
        if self.tokens_known:
            return self.reasoning_tokens, self.answer_tokens
        answer_chars = self.chars - self._reasoning_chars
        return self._reasoning_chars // CHARS_PER_TOKEN, answer_chars // CHARS_PER_TOKEN

    def cut(self, at_token: int | None, at_char: int) -> tuple[str, tuple[int, ...] | None]:
        """The text and ids up to a position. ValueError where the generation has not got so far."""
        if at_token is None or self.ids is None:
            if at_char > self.chars:
                raise ValueError(f"character {at_char} is not generated yet, only {self.chars} are")
            return self.text[:at_char], None
        if at_token > len(self.ids):
            raise ValueError(f"token {at_token} is not generated yet, only {len(self.ids)} are")
        return self.text[:at_char], tuple(self.ids[:at_token])

    def journal_entry(self) -> TokenJournal | None:
        """What has come since the last entry, or None. The same entry again until `journaled`: without it those that
        follow could not be read."""
        seq, tokens, texts = self._journaled
        if self._unstored is not None or texts == len(self._texts):
            return self._unstored
        first_char = sum(map(len, self._texts[:texts]))
        self._unstored = TokenJournal(
            run=self.run, iteration=self.iteration, generation=self.generation, seq=seq, first_token=tokens,
            token_ids=None if self.ids is None else tuple(self.ids[tokens:]), first_char=first_char,
            text="".join(self._texts[texts:]), reasoning_tokens=max(0, self.reasoning_tokens - tokens),
            reasoning_chars=max(0, self._reasoning_chars - first_char), deltas=self.deltas,
        )
        self._journaled = (seq + 1, len(self.ids or ()), len(self._texts))
        return self._unstored

    def journaled(self, entry: TokenJournal) -> None:
        """It is stored."""
        if self._unstored is entry:
            self._unstored = None
