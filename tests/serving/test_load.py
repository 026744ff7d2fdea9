"""Minutes of requests while the predictor is restarted by SIGTERM: `make load`."""

import collections
import http.client
import json
import threading
import time

import grpc
import pytest

from tests.serving.attacks import INFER, good_message, seeds
from tests.serving.conftest import Server

SECONDS, BETWEEN_RESTARTS = 180, 8
KEPT, NEW, OVER_GRPC = 4, 4, 2


class Callers:
    """Threads that send requests without a pause; ``received`` counts complete answers, ``broken`` partial ones.

    A connection that is refused, or closed before a byte of the answer, is asked again elsewhere, as HTTP clients do.
    """

    def __init__(self, server: Server) -> None:
        self.http_port, self.grpc_port = server.http_port, server.grpc_port
        self.received: collections.Counter = collections.Counter()
        self.broken: list[str] = []
        self.ends = time.monotonic() + SECONDS
        targets = [lambda: self._rest(keep=True)] * KEPT + [lambda: self._rest(keep=False)] * NEW
        self.threads = [threading.Thread(target=target) for target in targets + [self._grpc] * OVER_GRPC]
        self.lock = threading.Lock()

    def _count(self, status: int) -> None:
        with self.lock:
            self.received[status] += 1

    def _rest(self, *, keep: bool) -> None:
        path, body, headers = seeds()[0]
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        while time.monotonic() < self.ends:
            try:
                connection.request("POST", path, body, headers)
                reply = connection.getresponse()
            except (ConnectionError, http.client.HTTPException):
                connection.close()
                time.sleep(0.02)
                continue
            try:
                head = reply.read()[: int(reply.headers.get("inference-header-content-length", 10**9))]
                json.loads(head)
                self._count(reply.status)
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.broken.append(repr(error))
            if not keep:
                connection.close()
        connection.close()

    def _grpc(self) -> None:
        message = good_message()
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", [("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            while time.monotonic() < self.ends:
                call = channel.unary_unary(INFER).future(message, timeout=60)
                if call.code() is grpc.StatusCode.OK:
                    self._count(200)
                elif call.details().startswith("{"):  # the server's own answer
                    self._count(503)
                else:
                    time.sleep(0.02)


@pytest.mark.slow
def test_every_accepted_request_is_answered_while_the_process_is_restarted(bundle, tmp_path):
    """The answers in the processes' logs are those that the callers got: no accepted request was lost."""
    server = Server(bundle, tmp_path)
    server.wait_ready()
    callers = Callers(server)
    for thread in callers.threads:
        thread.start()
    answered: collections.Counter = collections.Counter()
    restarts, all_asked = 0, False
    while not all_asked:
        time.sleep(BETWEEN_RESTARTS)
        all_asked = time.monotonic() > callers.ends
        assert server.end() == 0
        answered += requests_of(server)
        if not all_asked:
            ports = ("--http-port", str(callers.http_port), "--grpc-port", str(callers.grpc_port))
            server = Server(bundle, tmp_path, *ports)
            server.http_port = callers.http_port
            server.wait_ready()
            restarts += 1
    for thread in callers.threads:
        thread.join()
    print(f"{restarts} restarts in {SECONDS} s; answered {dict(answered)}, received {dict(callers.received)}")
    assert callers.broken == []
    assert callers.received == answered
    assert set(answered) <= {200, 503}
    assert restarts >= 5
    assert answered[200] > 1000


def requests_of(server: Server) -> collections.Counter:
    """Requests that a process logged, by status."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert lines[-1]["event"] == "stopped"
    return collections.Counter(line["status"] for line in lines if line["event"] == "request")
