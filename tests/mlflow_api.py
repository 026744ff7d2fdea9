"""A server in place of MLflow that gives one answer to every request, for tests of the errors that users then see.

The replies of a real server that tests give it were seen of MLflow 3.17.2 on SQLite (``mlflow server``): errors as JSON
with ``error_code`` and ``message`` (404 RESOURCE_DOES_NOT_EXIST, 400 RESOURCE_ALREADY_EXISTS and
INVALID_PARAMETER_VALUE), an unknown path as an HTML page with 404, an unknown host as text with 403, and a search for
experiments as ``{"experiments": [...]}`` with 200.
"""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any

PAGE = b"<!doctype html><html><title>Log in to Your Account</title></html>"
EXPERIMENTS = b'{"experiments": [{"experiment_id": "0", "name": "Default", "lifecycle_stage": "active"}]}'
PROBE = "/api/2.0/mlflow/experiments/search"


class MlflowApi(http.server.ThreadingHTTPServer):
    """``status``, ``body``, ``location`` and ``fault`` are its answer; ``calls`` are the requests.

    Faults are silent, cut, close, and drip and endless: an answer that comes slowly, or fast, and does not end.
    With ``greets`` it answers the first question of a process as MLflow does.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.status, self.body, self.location, self.fault = 200, EXPERIMENTS, "", ""
        self.greets = False
        self.calls: list[str] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MlflowApi

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, server = self.path.partition("?")[0], self.server
        server.calls.append(f"{self.command} {path}")
        if server.greets and path == PROBE:
            self.reply(200, EXPERIMENTS)
        elif server.location and path != server.location:
            self.reply(302, b"", {"Location": server.location})
        elif server.fault == "silent":
            time.sleep(30)
        elif server.fault in ("drip", "endless"):
            self.go_on(*((b" ", 0.2) if server.fault == "drip" else (b" " * 2**16, 0.0)))
        elif server.fault == "close":
            self.close_connection = True
        else:
            self.reply(server.status, server.body)

    do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815

    def go_on(self, piece: bytes, pause_s: float) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
            for _ in range(200_000):
                self.wfile.write(piece)
                time.sleep(pause_s)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) * 2 if self.server.fault == "cut" else len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)
        self.close_connection = True


@contextlib.contextmanager
def serving() -> Iterator[MlflowApi]:
    with MlflowApi() as api:
        threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield api
        api.shutdown()
