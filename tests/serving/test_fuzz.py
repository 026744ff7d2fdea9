"""Two hundred generated requests, and tests that the judge finds each kind of fault."""

import asyncio
import contextlib
from unittest import mock

import pytest

from serving.predictor import Predictor
from tests.serving.fuzz import judge, run, trouble
from tests.serving.fuzz.entry_points import EntryPoints, Reply, Request
from tests.serving.fuzz.generate import Generator


@pytest.fixture(scope="module")
def entry_points(bundle):
    return EntryPoints(bundle)


def asked(entry_points, requests):
    """Faults of requests sent one by one."""

    async def ask():
        faults = []
        for request in requests:
            with watch.one() as of_one:
                of_one += filter(None, [judge.fault_of(request, await entry_points.ask(request))])
            faults += of_one
        return faults

    with contextlib.closing(judge.Watch()) as watch, mock.patch("warnings.warn"):
        return asyncio.run(ask())


def test_two_hundred_requests_meet_documented_answers(entry_points):
    generator = Generator(1)
    requests = [generator.make(number) for number in range(200)]
    assert len({request.kind for request in requests}) > 10
    assert asked(entry_points, requests) == []


def test_a_number_makes_the_same_request_again():
    one, other = Generator(7), Generator(7)
    assert [one.make(number) for number in range(50, 90)] == [other.make(number) for number in range(50, 90)]
    assert one.make(50) != Generator(8).make(50)


GOOD = Request("good", b'{"instances": []}')


def test_faults_are_found(entry_points):
    assert "good request" in asked(entry_points, [GOOD])[0]
    with mock.patch.object(Predictor, "answer", side_effect=KeyError("x")):
        requests = [request for request in map(Generator(1).make, range(400)) if request.kind == "good"]
        assert any("unforeseen KeyError" in fault for fault in asked(entry_points, requests))
    undocumented = Reply(400, b'{"code": "NEW", "error": "e", "hint": ""}', {"content-type": "application/json"})
    assert judge.fault_of(Request("x", b""), undocumented)
    assert judge.fault_of(Request("x", b"", grpc=True), Reply("NOT_FOUND", b'{"code": "BUSY"}'))
    assert judge.fault_of(Request("x", b"", grpc=True), Reply("NOT_FOUND", b"no JSON"))


def test_a_request_that_hangs_and_one_that_kills_are_findings_and_the_others_are_sent(tmp_path, capsys):
    with mock.patch.object(run, "HANGS_AFTER_SECONDS", 0.5), mock.patch.object(run, "STARTS_WITHIN_SECONDS", 20):
        findings = run.hunt(tmp_path, 1, 0, 8, trouble.work)
    assert findings == {"no answer": [3], "the process died (9)": [5]}
    reply = capsys.readouterr().out
    assert "make fuzz SEED=1 START=5 COUNT=1" in reply
    assert "6 asked" in reply


def test_the_cost_of_a_request_is_measured(entry_points):
    with mock.patch.object(judge, "MOST_SECONDS", -1.0), mock.patch.object(judge, "MOST_MB", -1):
        assert asked(entry_points, [Request("x", b"")]) == ["more than 2 s of processor", "more than -1 MiB of memory"]
