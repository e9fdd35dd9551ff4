"""Hardware counters: what ncu prints is read, the program it starts does one call, and where it is not that is said."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from common.devices import Device
from common.judge import Artefact, Judge, JudgeSettings, counters
from common.judge.child import counting
from common.judge.child.counted import Job
from common.judge.counters import Launch
from common.judge.protocol import Count, SpareSpec, encode
from common.messages import Outcome, TaskSource
from tests.judge.sources import EAGER, TASK, candidate

RAW = '''==PROF== Connected to process 41 (/usr/bin/python3)
==PROF== Profiling "gate" - 0: 0%....50%....100% - 20 passes
"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size","Device","CC",\
"dram__throughput.avg.pct_of_peak_sustained_elapsed","gpu__time_duration.sum","l1tex__t_sector_hit_rate.pct",\
"lts__t_sector_hit_rate.pct","sm__throughput.avg.pct_of_peak_sustained_elapsed",\
"sm__warps_active.avg.pct_of_peak_sustained_active"
"","","","","","","","","","","","%","ns","%","%","%","%"
"0","41","python3","127.0.0.1","gate(float *, int)","1","7","(256, 1, 1)","(64, 1, 1)","0","9.0","81.5","12,500",\
"2.25","50","44.75","61.1"
"1","41","python3","127.0.0.1","void at::fill<int, 4>(int)","1","7","(128, 1, 1)","(1, 1, 1)","0","9.0","1","2,500",\
"n/a","100","0.5","10"
==PROF== Disconnected from process 41
'''.replace("\\\n", "")
DENIED = '''==PROF== Connected to process 41 (/usr/bin/python3)
==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance Counters
'''


def spec(**changes: object) -> SpareSpec:
    plain = SpareSpec(
        role="cpu", cores=(0,), memory_mib=1024, address_space=False, processes=64, tmp_mib=64, uid=0, isolated=True,
    )
    return msgspec.structs.replace(plain, **changes)


def order(source: str, seconds: float = 60.0) -> Count:
    return Count(task=TASK, source=source, files={}, precision="fp32", seconds=seconds)


def test_the_raw_page_is_read() -> None:
    assert counters.parse(RAW) == [
        Launch(name="gate(float *, int)", seconds=pytest.approx(12.5e-6), sm=44.75, dram=81.5, occupancy=61.1,
               l1_hits=2.25, l2_hits=50.0),
        Launch(name="void at::fill<int, 4>(int)", seconds=pytest.approx(2.5e-6), sm=0.5, dram=1.0, occupancy=10.0,
               l1_hits=None, l2_hits=100.0),
    ]


def test_what_limits_the_longest_launch_is_a_sentence() -> None:
    said = counters.sentence(counters.record(counters.parse(RAW)))
    assert said == (
        "counters of gate(float *, int), 83% of the device's time: SM 45 %, DRAM 82 %, occupancy 61 %, L1 hits 2 %, "
        "L2 hits 50 %"
    )
    assert counters.sentence({"absent": "ncu is not installed"}) == ""


@pytest.mark.parametrize(("text", "said", "words"), [
    (DENIED, "", "ERR_NVGPUCTRPERM"), ("", DENIED, "ERR_NVGPUCTRPERM"),
    ("==ERROR== Failed to find section X\n", "", "(exit code 7): ==ERROR== Failed to find section X"),
    ("==PROF== Connected\n==WARNING== No kernels were profiled.\n", "", "profiled.; ==PROF== Connected"),
    ("", "nsight-compute directory is not found\n", "(exit code 7): nsight-compute directory is not found"),
    ("", "", "it said nothing"),
])
def test_text_without_launches_says_why(text: str, said: str, words: str) -> None:
    assert counters.parse(text) == []
    assert words in counters.problem(text, said, 7)


def test_of_much_that_was_said_the_marked_and_the_last_lines_are_told() -> None:
    said = "".join(f"line {n} {'x' * 500}\n" for n in range(1000))
    told = counters.words("==ERROR== first\n", said)
    assert told.startswith("==ERROR== first; line 994 x") and "line 999" in told and len(told) < 2000


def test_a_header_without_launches_is_none() -> None:
    assert counters.parse(RAW.split('"0","41"')[0]) == []
    assert counters.parse('"ID","Kernel Name"\n') == [], "nor one without its units, where ncu was ended"


def test_a_table_that_is_none_has_no_launches() -> None:
    assert counters.parse(f'"ID","Kernel Name"\n"",""\n"0","{"x" * (1 << 18)}"\n') == []


@pytest.mark.parametrize(("forward", "code"), [("return x * self.weight", 0), ("return undefined(x)", 1)])
def test_the_program_that_is_counted_calls_the_candidate(tmp_path: Path, forward: str, code: int) -> None:
    source = candidate(f"open('calls', 'a').write('.')\n{forward}")
    (tmp_path / "job").write_bytes(encode(Job(spec=spec(), order=order(source))))
    program = [sys.executable, "-m", "common.judge.child.counted", "job"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "calls").read_text() == ("..." if code == 0 else ".")


def test_a_counting_program_gets_the_command_and_its_text_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program in ncu's place that runs the target and writes where it is told."""
    program = tmp_path / "ncu"
    program.write_text('#!/bin/sh\nwhile [ "$1" != --log-file ]; do echo "$1"; shift; done > words\n'
                       'log=$2; shift 2; "$@" && cp raw "$log"\n')
    program.chmod(0o755)
    (tmp_path / "raw").write_text(RAW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(counting, "find", lambda: str(program))
    counted = counting.count(order(EAGER), spec())
    assert len(counters.parse(counted.text)) == 2
    assert "SpeedOfLight" in (tmp_path / "words").read_text()
    (tmp_path / "count.csv").unlink()
    program.write_text("#!/bin/sh\necho no such option >&2\nexit 3\n")
    assert counting.count(order(EAGER), spec()).absent == "ncu counted no launch (exit code 3): no such option"
    program.write_text("#!/bin/sh\necho waiting\nexec sleep 60\n")
    assert counting.count(order(EAGER, seconds=0.5), spec()).absent == "no end within 0.5 s: waiting"


@pytest.mark.skipif(counting.find() is not None, reason="ncu is installed here")
async def test_without_ncu_a_profile_passes_and_says_so(
    judge_settings: JudgeSettings, small: TaskSource, device: Device
) -> None:
    settings = msgspec.structs.replace(judge_settings, counters=True, time_seconds=0.5)
    async with Judge(settings, "cpu") as judge:
        artefact = await judge.compile(small, EAGER)
        assert isinstance(artefact, Artefact)
        profile = await judge.profile(small, artefact, device)
    assert profile.outcome is Outcome.PASSED
    assert profile.record["counters"] == {"absent": "ncu is not installed"}
