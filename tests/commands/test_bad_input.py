"""Every command's bad input: one line that says what to do, exit code 2, nothing half-written."""
from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
import structlog

from common.cli import main
from common.report import events as event_file
from tests.facts import Log
from tests.pipeline.recordings import TASK, kernel
from tests.pipeline.test_run import specgen

RECORDING = Path(__file__).parents[2] / "examples" / "cauchy_smoother" / "recording"
CASES = [
    ([], 0, "usage: specgen COMMAND"),
    (["fly"], 2, "no command 'fly'"),
    (["up", "--validators", "many"], 2, "invalid int value"),
    (["up", "extra"], 2, "unrecognized arguments"),
    (["submit", "TASK"], 2, "name one model"),
    (["submit", "MISSING", "--llm", "http://127.0.0.1:9"], 2, "cannot read"),
    (["submit", "TASK", "--llm", "http://127.0.0.1:9"], 2, "no endpoint answers"),
    (["submit", "TASK", "--llm", "http://127.0.0.1:9,127.0.0.1:9"], 2, "--llm 127.0.0.1:9 is no address"),
    (["submit", "TASK", "--llm", "http://127.0.0.1:9", "--llm", "http://127.0.0.1:9"], 2, "named twice"),
    (["run", "TASK", "--llm", "http://127.0.0.1:9", "--rate", "5"], 2, "--rate goes with --replay"),
    (["run", "TASK", "--llm", "http://127.0.0.1:9", "--profilers", "0"], 2, "--profilers is 0: there must be"),
    (["run", "TASK", "--llm", "http://127.0.0.1:9", "--max-seconds", "nan"], 2, "--max-seconds is nan"),
    (["up", "--validators", "-1"], 2, "--validators is -1: there must be"),
    (["up", "--model", "DIR"], 2, "go with --engine"),
    (["run", "TASK", "--replay", "RECORDING", "--out", "KERNEL"], 2, "name another folder with --out"),
    (["up", "--state", "KERNEL"], 2, "name another folder with --state"),
    (["submit", "TASK", "--llm", "http://[::1"], 2, "no endpoint answers at http://[::1 (Invalid IPv6 URL)"),
    (["cancel"], 2, "RUN"),
    (["cancel", "*"], 2, "'*' is no name of a run"),
    (["resume", "a b"], 2, "'a b' is no name of a run"),
    (["report", ">"], 2, "'>' is no name of a run"),
    (["report"], 2, "required"),
    (["report", "--events", "MISSING"], 2, "cannot read"),
    (["report", "--events", "TASK"], 2, ":1: not an event"),
    (["check", "TASK"], 2, "KERNEL.py"),
    (["check", "MISSING", "KERNEL"], 2, "cannot read"),
    (["check", "TASK", "MISSING"], 2, "cannot read"),
    (["check", "KERNEL", "KERNEL"], 2, "no class Model"),
    (["check", "TASK", "KERNEL", "--precision", "fp8"], 2, "invalid choice"),
    (["check", "TASK", "KERNEL", "--device", "cuda"], 2, "no GPU"),
    (["doctor", "--device", "tpu"], 2, "invalid choice"),
    (["tap", "a b"], 2, "is no pattern"),
    (["tap", "evt.>", "--since", "soon"], 2, "since"),
    (["tap", "evt.>", "--since", "99999999999d"], 2, "too far back"),
    (["dead", "show"], 2, ""),
    (["record"], 2, "--upstream"),
    (["record", "--upstream", "http://127.0.0.1:9", "--out", "MISSING", "--port", "99999"], 2, "99999 is no port"),
]
NEEDS_SYSTEM = [["status"], ["cancel", "r"], ["resume", "r"], ["report", "r"], ["tap", "evt.>"], ["dead", "list"],
                ["limits"]]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "TASK").write_text(TASK)
    (tmp_path / "KERNEL").write_text(kernel("passed", 1))
    return tmp_path


def call(files: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The command in this process. Names in capitals are files of the folder, or a recording."""
    known = {"TASK", "KERNEL", "MISSING"}
    words = [str(files / word) if word in known else word.replace("RECORDING", str(RECORDING)) for word in arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(files))
        patch.setattr(structlog, "configure", lambda **_: None)  # it would keep this test's stderr for good
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.err if code else printed.out


@pytest.mark.parametrize(("arguments", "code", "says"), CASES, ids=[" ".join(case[0]) or "nothing" for case in CASES])
def test_bad_input(
    files: Path, arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(os.listdir(files))
    if "cuda" in arguments and shutil.which("nvidia-smi"):
        pytest.skip("there is a GPU")
    returned, output = call(files, arguments, capsys)
    assert returned == code, output
    assert says in output, output
    assert code == 0 or len(output.strip().splitlines()) == 1, output
    assert sorted(os.listdir(files)) == before


@pytest.mark.parametrize("arguments", NEEDS_SYSTEM, ids=" ".join)
def test_without_a_system_a_command_says_how_to_start_one(
    files: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = call(files, arguments, capsys)
    assert code in (1, 2) and "specgen up" in output and len(output.strip().splitlines()) == 1, output


@pytest.mark.parametrize("name", ["run", "up", "submit", "status", "cancel", "resume", "report", "tap", "dead", "check",
                                  "doctor", "record"])
def test_help_shows_examples(files: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = call(files, [name, "--help"], capsys)
    assert code == 0 and "examples:" in output and f"specgen {name}" in output


@pytest.mark.parametrize("device", [{"SPECGEN_DEVICES_KIND": "cuda"}, {"SPECGEN_DEVICES_KIND": "tpu"}], ids=str)
def test_the_doctor_looks_for_what_the_settings_ask_for(device: dict[str, str]) -> None:
    done = specgen("doctor", **device)
    assert ("triton" in done.stdout) == ("cuda" in device.values()), done.stdout
    assert ("Invalid enum value 'tpu'" in done.stdout) == ("tpu" in device.values()), done.stdout


def test_the_doctor_reads_the_values_of_settings() -> None:
    assert "confidence must be between" in specgen("doctor", SPECGEN_JUDGE_CONFIDENCE="95").stdout


def test_a_cache_that_cannot_be_written_is_named(files: Path) -> None:
    done = specgen("check", files / "TASK", files / "KERNEL", SPECGEN_JUDGE_CACHE=str(files / "TASK"))
    assert done.returncode == 2 and "SPECGEN_JUDGE_CACHE names another" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_setting_is_refused_by_name(files: Path) -> None:
    done = specgen("check", files / "TASK", files / "KERNEL", SPECGEN_JUDGE_PAIR="3")
    assert done.returncode == 2 and "did you mean SPECGEN_JUDGE_PAIRS" in done.stderr


def test_an_endpoint_without_its_scheme_is_missing_whatever_listens_on_this_host(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: socket.socket())
    main(["doctor", "--llm", "model.invalid:8000"])
    assert "MISSING  endpoint: no endpoint answers at model.invalid:8000 (this is no address" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_said_in_one_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    event_file.write(files / "events.jsonl", log.facts)
    words = ["report", "--events", str(files / "events.jsonl"), "--out", str(files / "TASK")]
    code, output = call(files, words, capsys)
    assert code == 2 and f"cannot write into {files / 'TASK'}: File exists; name another folder" in output
    assert output.count("\n") == 1


def test_a_host_that_is_for_gpus_by_its_settings_is_asked_for_what_gpus_need(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECGEN_DEVICES_KIND", "cuda")
    main(["doctor"])
    assert "nvcc (CUDA sources)" in capsys.readouterr().out
