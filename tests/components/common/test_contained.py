import os
import signal
import sys
import threading
import time

import pytest

from components.common import contained
from components.common.contained import Budget, Failed, Stopped, call
from components.common.errors import TumourError
from tests.components.common import contained_work as work

#: Enough for what answers, and little enough to wait for what does not.
BUDGET = Budget(0.2, 64 * 2**20)


def reason(function, head=None, budget=BUDGET):
    with pytest.raises(Stopped) as stopped:
        call(function, head or {}, [], budget)
    return stopped.value.reason


def test_a_call_returns_the_result_of_the_function():
    head, parts = call(work.echo, {"a": [1, "é", None]}, [b"", b"x" * 3_000_000], BUDGET)
    assert (head, parts) == ({"a": [1, "é", None]}, [b"", b"x" * 3_000_000])


def test_a_call_runs_in_another_process_and_nothing_outlives_it():
    first = call(work.process, {}, [], BUDGET)[0]["parent"]
    assert first != os.getpid()
    assert call(work.process, {}, [], BUDGET)[0]["parent"] == first
    end = time.perf_counter() + 2
    while _children(first) and time.perf_counter() < end:  # it has answered before it is gone
        time.sleep(0.01)
    assert not _children(first)


@pytest.mark.parametrize("function", [work.spin, work.spin_without_the_interpreter])
def test_an_endless_call_is_ended_by_its_processor_time(function):
    start = time.process_time()
    assert reason(function) == "time"
    assert time.process_time() - start < 0.2  # the work is not done here


def test_a_call_that_waits_forever_is_ended_by_the_clock():
    start = time.perf_counter()
    assert reason(work.sleep, budget=Budget(0.05, 2**24)) == "time"
    assert time.perf_counter() - start < 4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the address space")
def test_a_call_may_take_its_memory_and_no_more():
    assert call(work.eat, {"bytes": 48 * 2**20}, [], BUDGET)[0] == {"bytes": 48 * 2**20}
    assert reason(work.eat, {"bytes": 80 * 2**20}) == "memory"


def test_a_call_that_dies_affects_no_other_call():
    assert reason(work.die) == "crash"
    assert [reason(work.leave, {"code": code}) for code in (0, 1, 3)] == ["crash"] * 3
    assert call(work.echo, {}, [b"1"], BUDGET) == ({}, [b"1"])


def test_a_worker_that_dies_is_replaced():
    worker = call(work.process, {}, [], BUDGET)[0]["parent"]
    os.kill(worker, signal.SIGKILL)
    assert reason(work.echo) == "crash"
    assert call(work.process, {}, [], BUDGET)[0]["parent"] != worker


def test_our_errors_are_raised_again_and_texts_of_others_are_not_repeated():
    with pytest.raises(TumourError) as refused:
        call(work.refuse, {}, [], BUDGET)
    assert (refused.value.code, refused.value.safe_message, refused.value.hint) == ("NOT_HU", "a message", "a hint")
    with pytest.raises(Failed) as failed:
        call(work.fail, {}, [], BUDGET)
    assert failed.value.kind == "KeyError"
    assert failed.value.frames[-1].startswith("contained_work.py:")
    assert "Doe" not in f"{failed.value} {failed.value.frames}"


def test_a_worker_holds_no_secret_and_its_calls_write_no_file(monkeypatch, tmp_path):
    monkeypatch.setenv("SRS_PSEUDONYM_KEY", "secret")
    contained.close()  # a worker that starts now would inherit it
    assert "SRS_PSEUDONYM_KEY" not in call(work.environment, {}, [], BUDGET)[0]
    with pytest.raises(Failed, match="OSError"):
        call(work.write, {"path": str(tmp_path / "x")}, [], BUDGET)
    assert not (tmp_path / "x").read_bytes()


def test_a_call_within_a_call_is_bounded_by_itself_and_by_the_outer_one():
    outcome, _ = call(work.inner_spin, {"inner": 0.1}, [], Budget(2, 2**26))
    assert outcome == {"first": "time", "second": {"a": 1}}
    start = time.perf_counter()
    assert reason(work.many_inner_spins, budget=Budget(0.5, 2**26)) == "time"
    assert time.perf_counter() - start < 4


def test_the_time_between_inner_calls_counts():
    outcome, _ = call(work.time_left, {}, [], Budget(20, 2**27))
    assert outcome["used"] > 0.05
    assert outcome["left"] + outcome["used"] == pytest.approx(20, abs=0.02)


def test_calls_of_several_threads_run_concurrently():
    slow = threading.Thread(target=reason, args=(work.spin, None, Budget(1, 2**24)))
    slow.start()
    time.sleep(0.1)
    assert call(work.echo, {}, [b"beside"], BUDGET)[1] == [b"beside"]
    assert slow.is_alive()
    slow.join()


def test_close_ends_a_call_that_waits():
    waiting = threading.Thread(target=lambda: reason(work.sleep, budget=Budget(60, 2**24)))
    waiting.start()
    time.sleep(0.5)
    contained.close()
    waiting.join(5)
    assert not waiting.is_alive()
    assert call(work.echo, {}, [], BUDGET) == ({}, [])


def _children(process):
    with open(f"/proc/{process}/task/{process}/children") as file:  # noqa: PTH123
        return file.read().split()
