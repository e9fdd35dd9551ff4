"""What vLLM is started with, and what is refused before anything starts."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest

from common.errors import UsageError
from generator.engine import interpreter
from generator.engine.arguments import command, environment, served_name
from generator.engine.command import check_model
from generator.engine.settings import EngineSettings
from tests.pipeline.recordings import TASK
from tests.pipeline.test_run import specgen


def line(settings: EngineSettings, *, cpu: bool = True) -> list[str]:
    return list(command(settings, "/env/bin/python", cpu=cpu, model="/m/Qwen3-8B", port=8001))


def after(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def test_the_method_gets_caching_priorities_and_counts() -> None:
    arguments = line(EngineSettings(model="/m/Qwen3-8B"), cpu=False)
    assert arguments[:4] == ["/env/bin/python", "-P", "-m", "vllm.entrypoints.openai.api_server"]
    assert {"--enable-prefix-caching", "--enable-prompt-tokens-details"} <= set(arguments)
    assert after(arguments, "--scheduling-policy") == "priority"
    assert (after(arguments, "--served-model-name"), after(arguments, "--port")) == ("Qwen3-8B", "8001")
    assert "--enforce-eager" not in arguments and "--speculative-config" not in arguments


def test_the_callers_arguments_come_last_so_that_they_win() -> None:
    arguments = line(EngineSettings(model="m", args=("--block-size", "64")))
    assert arguments[-2:] == ["--block-size", "64"] and arguments.index("--block-size") < len(arguments) - 2


def test_prompt_lookup_is_a_setting() -> None:
    ngram = json.loads(after(line(EngineSettings(model="m", prompt_lookup="ngram")), "--speculative-config"))
    assert ngram == {
        "method": "ngram", "num_speculative_tokens": 12, "prompt_lookup_min": 3, "prompt_lookup_max": 3
    }
    suffix = EngineSettings(model="m", prompt_lookup="suffix", prompt_lookup_tokens=24)
    assert json.loads(after(line(suffix), "--speculative-config")) == {
        "method": "suffix", "num_speculative_tokens": 24
    }


def test_the_environment_fits_the_host() -> None:
    settings = EngineSettings(model="m", kv_gib=2, devices=(1, 3))
    assert environment(settings, cpu=True, local=True) == {
        "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,3",
    }
    assert set(environment(EngineSettings(), cpu=False, local=False)) == {"VLLM_NO_USAGE_STATS"}


@pytest.mark.parametrize(
    ("model", "name"), [("/m/Qwen3-8B", "Qwen3-8B"), ("./tiny/", "tiny"), ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B")]
)
def test_a_directory_is_served_under_its_name_and_a_hubs_model_under_its_own(model: str, name: str) -> None:
    assert served_name(model) == name


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert check_model(str(tmp_path)) == str(tmp_path)
    assert check_model("Qwen/Qwen3-8B") == "Qwen/Qwen3-8B"
    for model, says in (("", "name a model"), ("/no/where", "no model directory"), ("a/b/c", "no model directory"),
                        (str(tmp_path.parent), "no config.json")):
        with pytest.raises(UsageError, match=says):
            check_model(model)


def test_an_interpreter_without_vllm_is_refused(tmp_path: Path) -> None:
    for named in (sys.executable, str(tmp_path / "python")):
        with pytest.raises(UsageError, match="has no vLLM: run `make engine`"):
            interpreter.find(named)


@pytest.mark.parametrize("field", ["kv_gib", "prompt_lookup_tokens", "prompt_lookup_ngram", "start_seconds"])
def test_settings_that_cannot_work_are_refused(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"{field} must be more than 0"):
        msgspec.convert({field: 0}, EngineSettings)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--engine", "vllm"], "name a model: --model DIR"),
        (["--engine", "vllm", "--model", "/no/where"], "there is no model directory /no/where"),
        (["--engine", "other", "--model", "m"], "invalid choice: 'other'"),
        (["--engine", "vllm", "--model", "m", "--llm", "http://h"], "name one model"),
        (["--llm", "http://h", "--engine-arg=--x"], "--engine-arg goes with --engine"),
    ],
)
def test_an_engine_that_cannot_be_is_one_line_and_nothing_is_written(
    tmp_path: Path, flags: list[str], says: str
) -> None:
    (tmp_path / "task.py").write_text(TASK)
    done = specgen("run", tmp_path / "task.py", *flags, "--out", tmp_path / "out", XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 2
    assert says in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "out").exists()
