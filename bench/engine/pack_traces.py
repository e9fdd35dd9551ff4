"""Packs recorded iterations and a model for a GPU host that has neither: `python -m bench.engine.pack_traces OUT`.

Run it with the engine's interpreter from the repository's root. OUT lies outside of the project: third-party text does
not go into it. OUT/recorded.json.gz holds the iterations (`recorded.py`), OUT/model an 8B shape with a tokenizer of
real words and no weights.
"""
from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import standins, traces
from bench.engine import recorded
from bench.engine.accept import tokens_a_step
from bench.engine.model import write_qwen3_8b
from bench.engine.recorded import Accepted, Iteration, Outcome, Recorded, Stand
from bench.fit import signals_of
from bench.standins import Answer, Pool, Rule
from bench.traces import Trace

RULE: Rule = "mixture"
SEED = 1
CLOSE, FENCE = "\n</think>\n\n", "```python\n"
ASK = "Write a faster drop-in replacement, class ModelNew, for this module.\n\n"
NGRAM = 3
PROPOSED = (4, 8, 12, 16)


class Packer:
    def __init__(self, pool: Pool, tokenizer: Any) -> None:
        self._pool, self._tokenizer = pool, tokenizer

    def ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def iteration(self, trace: Trace) -> Iteration:
        encoded = self._tokenizer(trace.thinking, add_special_tokens=False, return_offsets_mapping=True)
        chat = [{"role": "user", "content": ASK + trace.task_source}]
        code = self.ids(trace.kernel + "\n```")
        return Iteration(
            trace=trace.id, prompt=self.ids(self._tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True
            )),
            thinking=tuple(encoded["input_ids"]), ends=tuple(end for _, end in encoded["offset_mapping"]),
            answer=(*self.ids(CLOSE + FENCE), *code), outcome=self._outcome(self._pool.main(trace, SEED)),
            signals=tuple(signals_of(trace)), forks=tuple(self._stands(trace, code)),
        )

    def _stands(self, trace: Trace, code: tuple[int, ...]) -> Iterator[Stand]:
        for char in self._pool.steps(RULE, trace):
            answer = self._pool.fork(RULE, trace, char, 0, SEED)
            text = code * (answer.tokens // len(code) + 1)
            yield Stand(from_char=char, ids=text[: answer.tokens], outcome=self._outcome(answer))

    def _outcome(self, answer: Answer) -> Outcome:
        seconds = random.Random(f"{SEED}:{answer.key}:judge").choice(self._pool.judge_seconds)
        return Outcome(key=answer.key, passed=answer.passed, speedup=answer.speedup, judge_seconds=seconds)


def count_accepted(iterations: list[Iteration]) -> Iterator[Accepted]:
    for proposed in PROPOSED:
        def mean(context: tuple[int, ...], text: tuple[int, ...], proposed: int = proposed) -> float:
            return round(tokens_a_step(context, text, proposed=proposed, ngram=NGRAM), 3)

        yield Accepted(
            proposed=proposed,
            answer=tuple(mean(i.prompt + i.thinking, i.answer) for i in iterations),
            answer_alone=tuple(mean(i.prompt, i.answer) for i in iterations),
            thinking=tuple(mean(i.prompt, i.thinking) for i in iterations),
        )


def main() -> None:
    from transformers import AutoTokenizer  # noqa: PLC0415 - the engine's environment alone has it

    options = _options()
    (options.out / "model").mkdir(parents=True, exist_ok=True)
    write_qwen3_8b(options.out / "model")
    tokenizer = AutoTokenizer.from_pretrained(str(options.out / "model"))
    files = options.traces or traces.default_files(traces.REASONING)
    kept = traces.load(files)
    packer = Packer(standins.default_pool(kept), tokenizer)
    chosen = traces.choose(kept, runs=options.runs, iterations=options.iterations, seed=SEED)
    runs = tuple(tuple(packer.iteration(trace) for trace in run) for run in chosen)
    packed = Recorded(
        rule=RULE, seed=SEED, suffix=packer.ids(CLOSE + FENCE), runs=runs, end=tokenizer.eos_token_id,
        accepted=tuple(count_accepted([iteration for run in runs for iteration in run])),
    )
    recorded.write(packed, options.out / "recorded.json.gz")
    tokens = sum(len(i.thinking) for i in packed.iterations)
    print(f"{len(runs)} runs of {options.iterations} iterations, {tokens} tokens of reasoning, in {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pack recorded iterations and a model for a GPU host.")
    parser.add_argument("out", type=Path, help="a folder outside of the project")
    parser.add_argument("--traces", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=2, help="of each run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
