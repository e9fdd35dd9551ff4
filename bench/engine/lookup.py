"""Prompt lookup on the engine: `python -m bench.engine.lookup --model DIR --recorded FILE --proposed 12,8,4`.

Each recorded answer is generated after its prompt and reasoning, whose KV is cached already, by a model that knows the
text (`known.py`). Reported: milliseconds a step, tokens a step, tokens a second; `--proposed 0` is the engine without
speculative decoding; 0 beside other numbers is the same engine with nothing proposed, which vLLM schedules less far
ahead. One process, one engine; the last line printed is the result as JSON.
"""
from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.engine.figures import spread
from bench.engine.known import ARCHITECTURE
from bench.engine.recorded import Iteration, read

NGRAM = 3


def main() -> None:
    options = _options()
    recorded = read(options.recorded)
    began = time.monotonic()
    llm = _engine(options)
    found: dict[str, Any] = {"start_seconds": round(time.monotonic() - began, 1), "ngram": NGRAM, "rows": []}
    iterations = [i for i in recorded.iterations if _length(i) < options.context][: options.answers]
    for proposed in options.proposed:
        if found["rows"] and time.monotonic() - began > options.seconds:
            break
        if max(options.proposed):
            llm.collective_rpc("propose_at_most", args=(proposed,))
        played = [_play(llm, iteration, recorded.end) for iteration in iterations[:1] + iterations][1:]
        found["rows"].append({"proposed": proposed, **_row(played)})
    print(json.dumps(found))


def _engine(options: argparse.Namespace) -> Any:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    from vllm import LLM  # noqa: PLC0415 - reads the variable above when it is imported

    most = max(options.proposed)
    speculative = {
        "method": "ngram", "num_speculative_tokens": most, "prompt_lookup_min": NGRAM, "prompt_lookup_max": NGRAM
    }
    return LLM(
        model=str(options.model), hf_overrides={"architectures": [ARCHITECTURE]}, max_model_len=options.context,
        worker_extension_cls="bench.engine.known.Control", max_num_seqs=4, disable_log_stats=True,
        **({"speculative_config": speculative} if most else {}), **json.loads(options.engine),
    )


def _length(iteration: Iteration) -> int:
    return len(iteration.prompt) + len(iteration.thinking) + len(iteration.answer) + 1


def _play(llm: Any, iteration: Iteration, end: int) -> dict[str, Any]:
    """(seconds, tokens) of each engine step, by the time between outputs; the first, the prompt's, is left out."""
    from vllm import SamplingParams  # noqa: PLC0415

    prompt = [*iteration.prompt, *iteration.thinking]
    llm.collective_rpc("learn", args=([*prompt, *iteration.answer, end],))
    engine = llm.llm_engine
    params = SamplingParams(temperature=0, max_tokens=len(iteration.answer) + 1)
    engine.add_request(iteration.trace, {"prompt_token_ids": prompt}, params)
    steps: list[tuple[float, int]] = []
    said: list[int] = []
    last = time.perf_counter()
    while engine.has_unfinished_requests():
        for output in engine.step():
            now = time.perf_counter()
            ids = list(output.outputs[0].token_ids)
            steps.append((now - last, len(ids) - len(said)))
            said, last = ids, now
    right = said[: len(iteration.answer)] == list(iteration.answer)
    return {"steps": steps[1:], "right": right}


def _row(played: list[dict[str, Any]]) -> dict[str, Any]:
    times: dict[int, list[float]] = defaultdict(list)
    for answer in played:
        for seconds, tokens in answer["steps"]:
            times[tokens].append(seconds)
    totals = [(sum(s for s, _ in a["steps"]), sum(n for _, n in a["steps"]), len(a["steps"])) for a in played]
    every = [seconds for step_times in times.values() for seconds in step_times]
    return {
        "answers": len(played), "said_the_text": sum(a["right"] for a in played),
        "step_ms": spread(every, scale=1e3),
        "step_ms_by_tokens": {str(n): spread(times[n], scale=1e3) for n in sorted(times)},
        "tokens_a_step": spread([tokens / steps for _, tokens, steps in totals]),
        "tokens_a_second": spread([tokens / seconds for seconds, tokens, _ in totals], digits=1),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure prompt lookup on recorded answers.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--recorded", type=Path, required=True)
    parser.add_argument("--proposed", type=lambda text: [int(n) for n in text.split(",")], default=[12, 8, 4])
    parser.add_argument("--answers", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no further row after these")
    parser.add_argument("--context", type=int, default=16_384)
    parser.add_argument("--engine", default='{"load_format": "dummy"}', help="further arguments of vLLM, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
