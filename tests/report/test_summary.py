"""A summary computed from facts written by hand, number by number."""
from __future__ import annotations

import resource
from math import inf, nan
from pathlib import Path

import msgspec
import pytest

from common.errors import UsageError
from common.messages import (
    AttemptFailed,
    CandidateDuplicated,
    Difference,
    Feedback,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    LeaseReleased,
    LeaseTaken,
    Message,
    Outcome,
    RequestIgnored,
    RunEnded,
    Stage,
)
from common.report import events as event_file
from common.report.events import started
from common.report.page import render
from common.report.summary import summarise
from common.report.tally import Tally
from generator.accept import close_out, judge_result, settle
from tests.facts import Log, judgement, result


def lease(run: str, number: int, seconds: float) -> list[Message]:
    common = {"device": "cpu-1", "worker": "w", "stage": Stage.PROFILE, "lease": number}
    return [
        LeaseTaken(**common, at=101.0, run=run, iteration=1, candidate="c1"),
        LeaseReleased(**common, at=101.0 + seconds, seconds=seconds),
    ]


@pytest.fixture
def events() -> list[Message]:
    """One iteration of 20 s: a fork's kernel passes at 2.5x and stops it, one is wrong, one is cancelled."""
    log = Log()
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    log.now = 104.0
    log.record(GenerationStarted, iteration=1, generation="f1", kind="fork", parent="main", at_token=40,
               reason="fence_closed", numbers={"p": 0.125, "saves_s": 80.0, "gain_s": 10.0, "cost_s": 1.25})
    log.now = 106.0
    log.proposed("c1", origin="fork", generation="f1")
    log.proposed("c2", origin="draft")
    log.proposed("c3", origin="main")
    log.record(CandidateDuplicated, iteration=1, generation="f2", origin="fork", duplicate_of="c1", digest="d")
    log.record(RequestIgnored, iteration=1, kind="fork", reason="limit", request=3)
    log.now = 110.0
    ratios = {"own": [1.25], "large": [1.0, 2.0]}
    compiled = {"speedup": 1.5, "low": 1.4, "high": 1.6, "pairs": 12, "mode": "default", "compiled_ms": 0.75}
    judged = [("c1", Stage.VALIDATE, judgement(seconds={"check": 1.5}, record={"error_ratios": ratios})),
              ("c2", Stage.VALIDATE, judgement(Outcome.WRONG_VALUES, seconds={"check": 0.5})),
              ("c1", Stage.PROFILE, judgement(speedup=2.5, seconds={"time": 3.0},
                                            record={"torch": "2", "compile_baseline": compiled},
                                            labels=("shape_specialised",)))]
    for sequence, (name, stage, found) in enumerate(judged, 1):
        log.draft(judge_result(log.state, result(stage, name, found), stage, sequence))
        if draft := settle(log.state, log.state.candidates[name]):
            log.draft(draft)
    log.draft(judge_result(log.state, result(Stage.PROFILE, "c1", judgement(speedup=9.0)), Stage.PROFILE, 4))
    log.now = 120.0
    numbers = {"speedup": 2.5, "bar": 1.0, "valid_before": 0.0}
    log.record(IterationEnded, iteration=1, reason="stopped", cause="c1", H=(2.5,), numbers=numbers)
    log.record(GenerationEnded, iteration=1, generation="main", reason="aborted", prompt_tokens=50, cached_tokens=0,
               reasoning_tokens=400, answer_tokens=0)
    log.record(GenerationEnded, iteration=1, generation="f1", reason="finished", prompt_tokens=90, cached_tokens=80,
               answer_tokens=60, candidate="c1")
    for draft in close_out(log.state, 1):
        log.draft(draft)
    log.record(RunEnded, reason="iterations", best="c1")
    failed = AttemptFailed(worker="w", at=111.0, stage=Stage.VALIDATE, run="r", iteration=1, candidate="c1", attempt=1,
                           reason="x")
    return [*log.facts, *lease("r", 1, 5.0), *lease("another", 2, 7.0), failed]


def test_every_number(events: list[Message]) -> None:
    s = summarise(events)
    assert (s.reason, s.wall_seconds) == ("iterations", 20.0)
    assert s.candidates == {"fork": {"passed": 1}, "draft": {"wrong_values": 1}, "main": {"unsettled": 1}}
    assert s.fates == {"counted": 2, "duplicate": 1, "cancelled": 1}
    assert (s.results_ignored, s.requests_ignored) == ({"repeated": 1}, {"fork": 1})
    main, fork = s.tokens["main"], s.tokens["fork"]
    assert (main.generations, main.aborted, main.prompt, main.reasoning, main.answer) == (1, 1, 50, 400, 0)
    assert (fork.generations, fork.aborted, fork.cached, fork.answer) == (1, 0, 80, 60)
    assert s.seconds == {"validate": {"queue": 1.0, "check": 2.0}, "profile": {"queue": 0.5, "time": 3.0}}
    assert (s.reasoning_seconds, s.judging_seconds) == (20.0, 5.0)
    assert s.utilisation == {"cpu-1": 0.25}, "the other run's lease is not this run's"
    assert (s.device_seconds, s.overlapped_seconds) == (5.0, 5.0), "the model was at work all the time"
    assert s.best is not None and (s.best.candidate, s.best.speedup, s.best.origin) == ("c1", 2.5, "fork")
    assert (s.attempts_failed, s.attempts_revoked) == (1, 0)
    one = s.iterations[0]
    assert (one.reason, one.cause, one.seconds, one.bar) == ("stopped", "c1", 20.0, None)
    assert (one.forks, one.candidates) == (1, 3)
    assert (one.first_candidate_seconds, one.first_passed_seconds, one.early_verdicts) == (6.0, 10.0, 2)


def test_what_was_spent_and_how_soon(events: list[Message]) -> None:
    ledger = summarise(events).ledger
    assert (ledger.main.tokens, ledger.used.tokens, ledger.wasted.tokens) == (400, 60, 0)
    assert (ledger.main.device_seconds, ledger.used.device_seconds, ledger.wasted.device_seconds) == (0.0, 5.0, 0.0)
    times = (ledger.first_candidate_seconds, ledger.first_valid_seconds, ledger.best_seconds)
    assert times == (6.0, 10.0, 10.0)
    assert ledger.saved_tokens is None, "no reasoning ended by itself, so nobody knows what was saved"


def test_a_fork_that_repeats_another_was_for_nothing_and_a_stop_saves_what_others_went_on_to_say() -> None:
    log = Log()
    for number, (reason, tokens) in enumerate([("finished", 1000), ("finished", 2000), ("aborted", 600)], 1):
        log.iteration(number)
        log.record(GenerationStarted, iteration=number, generation="main", kind="main")
        log.record(GenerationStarted, iteration=number, generation="f1", kind="fork", parent="main", at_token=40)
        log.record(GenerationEnded, iteration=number, generation="f1", reason="finished", answer_tokens=7,
                   candidate="c1")
        log.record(IterationEnded, iteration=number, reason="stopped" if reason == "aborted" else "answered", H=())
        log.record(GenerationEnded, iteration=number, generation="main", reason=reason, reasoning_tokens=tokens)
    ledger = summarise(log.facts).ledger
    assert (ledger.main.tokens, ledger.used.tokens, ledger.wasted.tokens) == (3600, 0, 21)
    assert ledger.saved_tokens == 900
    assert (ledger.first_candidate_seconds, ledger.first_valid_seconds, ledger.best_seconds) == (None, None, None)


def test_a_fork_that_repeats_what_one_of_its_name_found_in_an_earlier_iteration_was_for_nothing() -> None:
    log = Log()
    for number in (1, 2):
        log.iteration(number)
        log.record(GenerationStarted, iteration=number, generation="main", kind="main")
        log.record(GenerationStarted, iteration=number, generation="f1", kind="fork", parent="main", at_token=40)
        if number == 1:
            log.proposed("c1", origin="fork", generation="f1")
            log.draft(judge_result(log.state, result(Stage.VALIDATE, "c1", judgement()), Stage.VALIDATE, 1))
            log.draft(judge_result(log.state, result(Stage.PROFILE, "c1", judgement(speedup=2.0)), Stage.PROFILE, 2))
            settled = settle(log.state, log.state.candidates["c1"])
            assert settled is not None
            log.draft(settled)
        log.record(GenerationEnded, iteration=number, generation="f1", reason="finished", answer_tokens=7 * number,
                   candidate="c1")
        log.record(IterationEnded, iteration=number, reason="answered", H=(2.0,))
    ledger = summarise(log.facts).ledger
    assert (ledger.used.tokens, ledger.wasted.tokens) == (7, 14)


def test_a_reasoning_that_was_ended_while_its_iteration_goes_on_saved_nothing_yet() -> None:
    log = Log()
    for number, reason in ((1, "finished"), (2, "aborted")):
        log.iteration(number)
        log.record(GenerationStarted, iteration=number, generation="main", kind="main")
        log.record(GenerationEnded, iteration=number, generation="main", reason=reason, reasoning_tokens=100)
        if number == 1:
            log.record(IterationEnded, iteration=1, reason="answered", H=())
    assert summarise(log.facts).ledger.saved_tokens is None


def test_events_survive_the_file_and_a_fact_published_twice_counts_once(events: list[Message], tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    event_file.write(path, events)
    assert event_file.read(path) == events
    facts = [event for event in events if hasattr(event, "n")]
    assert list(event_file.once([*facts[:4], facts[3], *facts[4:]])) == facts  # type: ignore[list-item]


def test_events_that_find_no_room_leave_the_former_file_as_it_was(events: list[Message], tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    event_file.write(path, events)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="large"):
            event_file.write(path, events)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_what_is_no_number_survives_the_file(tmp_path: Path) -> None:
    differences = tuple(Difference(index=(i,), expected=1.0, got=got) for i, got in enumerate((inf, -inf, nan, 2.5)))
    log = Log()
    log.iteration()
    log.proposed("c1")
    feedback = Feedback(summary="null", differences=differences)
    wrong = result(Stage.VALIDATE, "c1", judgement(Outcome.WRONG_VALUES, feedback=feedback))
    log.draft(judge_result(log.state, wrong, Stage.VALIDATE, 1))
    event_file.write(tmp_path / "events.jsonl", log.facts)
    # As text: a NaN equals nothing, itself included.
    assert repr(event_file.read(tmp_path / "events.jsonl")) == repr(log.facts)


def test_the_page_says_what_was_decided_on_which_numbers(events: list[Message]) -> None:
    page = render(summarise(events), events)
    assert "median paired speedup 2.50x, 95% interval 2.25 to 2.75 over 20 pairs" in page
    assert "`f1` forked at token 40 because a code block was closed: with a chance of 12.5% it would end the " in page
    assert "iteration and save 80 s, a gain of 10.00 s at a cost of 1.25 s." in page
    assert "stopped by `c1`: its 2.50x clears the bar of 1.00x, set by 0 earlier valid kernels." in page
    assert "| forks and drafts of use | 60 | 5.0 |" in page
    assert "to the first candidate 6.0 s, to the first valid one 10.0 s, to the best 10.0 s." in page
    assert "reasoned and answered for 20.0 s; validation and profiling took 5.0 s (0.25 of" in page


def test_the_page_says_what_speaks_for_the_best_kernel(events: list[Message]) -> None:
    page = render(summarise(events), events)
    assert "at most 2.00 times eager's own (inputs `large`)" in page and "with torch 2" in page
    assert "`specgen check task.py best.py`" in page and "Labels: shape_specialised." in page
    assert "| passed (shape_specialised) | 2.50x |" in page
    assert "- Beside eager: 1.50x of torch.compile in its default mode (1.40 to 1.60 over 12 pairs;" in page


def test_the_command_that_judges_the_best_kernel_again_names_what_it_is_for(events: list[Message]) -> None:
    task = msgspec.structs.replace(started(events).task, precision="bf16")
    on_a_gpu: list[Message] = [msgspec.structs.replace(started(events), device="cuda", task=task), *events[1:]]
    assert "`specgen check task.py best.py --device cuda --precision bf16`" in render(summarise(on_a_gpu), on_a_gpu)


def test_what_others_say_stays_in_its_cell() -> None:
    log = Log()
    log.iteration()
    log.proposed("c1")
    wrong = judgement(Outcome.COMPILE_ERROR, feedback=Feedback(summary="no match for std::vector<float> | int"))
    log.draft(judge_result(log.state, result(Stage.VALIDATE, "c1", wrong), Stage.VALIDATE, 1))
    log.record(IterationEnded, iteration=1, reason="failed", cause="502: <html>\n| no |", H=())
    log.record(RunEnded, reason="failed", cause="502: <html>\n| no |")
    page = render(summarise(log.facts), log.facts)
    assert "| no match for std::vector\\<float> \\| int |" in page
    assert "| 1 | failed (502: \\<html> \\| no \\|) |" in page and "ended by failed (502: \\<html> \\|" in page


def test_time_on_devices_counts_as_overlapped_only_while_a_main_generation_runs() -> None:
    log = Log()
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    log.now += 3.0
    log.record(GenerationEnded, iteration=1, generation="main", reason="finished")
    since = log.facts[0].at
    tally = Tally(started(log.facts))
    held = {"device": "cpu-1", "worker": "w", "stage": Stage.PROFILE, "lease": 1}
    taken = LeaseTaken(**held, at=since + 1.0, run="r", iteration=1, candidate="c1")
    for event in [*log.facts, taken, LeaseReleased(**held, at=since + 11.0, seconds=10.0)]:
        tally.add(event)
    assert tally.device_seconds() == (10.0, 2.0)


def test_a_lease_that_was_never_returned_lasts_until_the_device_is_another_s_or_the_log_ends() -> None:
    log = Log()
    log.iteration()
    since = log.facts[0].at
    held = {"worker": "w", "stage": Stage.PROFILE, "iteration": 1, "candidate": "c1"}
    kept = LeaseTaken(**held, device="kept", lease=1, at=since + 1.0, run="r")
    lost = LeaseTaken(**held, device="lost", lease=1, at=since + 1.0, run="r")
    taken = LeaseTaken(**held, device="lost", lease=2, at=since + 4.0, run="another")
    log.now += 10.0
    log.record(IterationEnded, iteration=1, reason="finished", H=())
    tally = Tally(started(log.facts))
    for event in [*log.facts, kept, lost, taken]:
        tally.add(event)
    last = tally.last_at - since
    assert {h.device: (h.since - since, h.until - since) for h in tally.held()} == {
        "kept": (1.0, last), "lost": (1.0, 4.0),
    }


NOTHING_OF_OURS = '{"subject": "x", "message": {}}'


@pytest.mark.parametrize(("text", "says"), [("{}", ":1: not an event"), (NOTHING_OF_OURS, "no message")])
def test_a_line_that_is_no_event_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(UsageError, match=says):
        event_file.read(path)
    path.write_text("")
    with pytest.raises(UsageError, match=r"no run\.started"):
        summarise(event_file.read(path))
