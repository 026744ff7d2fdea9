"""A Kubernetes API server for tests: objects over HTTP with versions, generations and server-side apply.

What it keeps of the real one: ``resourceVersion`` moves with every change and ``generation`` with the specification; an
apply records its field manager's fields, takes away what that manager no longer names, leaves what others own, and is
refused with 409 where another manager owns a field (unless forced) or the version named is not the newest; lists are
owned whole. Access reviews answer from ``denied``.
"""

import contextlib
import copy
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


class Refused(Exception):
    def __init__(self, status: int, reason: str, message: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.message = status, reason, message or reason


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Every field with its value; a list is one field."""
    if isinstance(value, dict) and value:
        return {where: leaf for key, inner in value.items() for where, leaf in leaves(inner, (*path, key)).items()}
    return {path: value}


def fields_of(body: dict[str, Any]) -> dict[Path, Any]:
    """The fields that an apply of ``body`` owns: all except those that identify the object."""
    unowned = {("apiVersion",), ("kind",)} | {("metadata", key) for key in ("name", "namespace", "resourceVersion")}
    return {path: value for path, value in leaves(body).items() if path not in unowned}


def put(target: dict[str, Any], path: Path, value: Any) -> None:
    for key in path[:-1]:
        target = target.setdefault(key, {})
    target[path[-1]] = value


def drop(target: dict[str, Any], path: Path) -> None:
    """Removes a field and the mappings that it leaves empty."""
    if path[0] in target and len(path) > 1:
        drop(target[path[0]], path[1:])
        if not target[path[0]]:
            del target[path[0]]
    else:
        target.pop(path[0], None)


class KubernetesApi(http.server.ThreadingHTTPServer):
    """Objects by their path, e.g. ``/api/v1/namespaces/a/configmaps/b``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.objects: dict[str, dict[str, Any]] = {}
        self.managers: dict[str, dict[str, set[Path]]] = {}
        self.applied: list[dict[str, Any]] = []
        self.denied: set[tuple[str, str]] = set()
        self.reviews: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.clock = 0

    def add(self, path: str, body: dict[str, Any], manager: str = "kubectl") -> dict[str, Any]:
        """Stores an object as another manager would."""
        return self.apply(path, body, manager, force=True)

    def apply(self, path: str, body: dict[str, Any], manager: str, *, force: bool) -> dict[str, Any]:
        before = self.objects.get(path)
        owners = self.managers.setdefault(path, {})
        ours = fields_of(body)
        self._check(before, body, ours, owners, manager, force=force)
        after = copy.deepcopy(before) if before else {"metadata": {"generation": 0}}
        for gone in owners.get(manager, set()) - set(ours):
            if not any(gone in theirs for other, theirs in owners.items() if other != manager):
                drop(after, gone)
        for other in owners:
            owners[other] -= set(ours)
        owners[manager] = set(ours)
        named = {key: value for key, value in body["metadata"].items() if key in ("name", "namespace")}
        after |= {key: body[key] for key in ("apiVersion", "kind") if key in body}
        after["metadata"] |= named
        for where, value in ours.items():
            put(after, where, copy.deepcopy(value))
        return self.store(path, before, after)

    def _check(
        self,
        before: dict[str, Any] | None,
        body: dict[str, Any],
        ours: dict[Path, Any],
        owners: dict[str, set[Path]],
        manager: str,
        *,
        force: bool,
    ) -> None:
        asked = body["metadata"].get("resourceVersion")
        if asked and asked != (before or {}).get("metadata", {}).get("resourceVersion"):
            raise Refused(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        held = leaves(before or {})
        for other, theirs in owners.items():
            clash = {path for path in theirs & set(ours) if held.get(path) != ours[path]}
            if other != manager and clash and not force:
                raise Refused(409, "Conflict", f"Apply failed with {len(clash)} conflict: conflict with {other!r}")

    def store(self, path: str, before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
        """Stores an object; a change increments its version, and one of the specification also its generation."""
        if before != after:
            self.clock += 1
            changed = before is None or before.get("spec") != after.get("spec")
            after["metadata"]["generation"] = after["metadata"].get("generation", 0) + changed
            after["metadata"]["resourceVersion"] = str(self.clock)
        self.objects[path] = after
        return after

    def read(self, path: str) -> dict[str, Any]:
        """An object, or the list of those in a collection."""
        if path in self.objects:
            return self.objects[path]
        below = [one for where, one in self.objects.items() if where.rpartition("/")[0] == path]
        if below:
            return {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": below}
        raise Refused(404, "NotFound")

    def review(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to an access review."""
        asked = body["spec"]["resourceAttributes"]
        self.reviews.append(body["spec"])
        allowed = (asked["verb"], asked["resource"]) not in self.denied
        return {**body, "status": {"allowed": allowed}}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Any:
        if self.failures:
            raise Refused(self.failures.pop(0), "Conflict", "token abc is not allowed")
        if method == "GET":
            return self.read(path)
        if method == "POST" and path.endswith("accessreviews"):
            return self.review(body)
        if method == "PATCH" and content_type == "application/apply-patch+yaml":
            self.applied.append(body)
            return self.apply(path, body, query["fieldManager"], force=query.get("force") == "True")
        if method == "DELETE":
            self.read(path)
            self.managers.pop(path, None)
            return self.objects.pop(path)
        raise Refused(405, "MethodNotAllowed")


class Handler(http.server.BaseHTTPRequestHandler):
    server: KubernetesApi

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self) -> None:
        path, _, query = self.path.partition("?")
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "")
        try:
            asked = dict(urllib.parse.parse_qsl(query))
            status, found = 200, self.server.answer(self.command, path, asked, json.loads(data or "null"), kind)
        except Refused as refused:
            status = refused.status
            found = {"kind": "Status", "status": "Failure", "reason": refused.reason, "message": refused.message}
        content = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        with contextlib.suppress(OSError):  # the client waits no longer
            self.end_headers()
            self.wfile.write(content)

    def do_GET(self) -> None:
        self.reply()

    def do_POST(self) -> None:
        self.reply()

    def do_PATCH(self) -> None:
        self.reply()

    def do_DELETE(self) -> None:
        self.reply()


@contextlib.contextmanager
def running(api: KubernetesApi) -> Iterator[KubernetesApi]:
    """Serves until the block ends."""
    with api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        yield api
        api.shutdown()
