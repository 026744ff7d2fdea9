"""A KFP API server for tests: REST v2beta1 over HTTP, checked by the message types of KFP's own client and compiler.

It stores pipelines, versions, experiments, runs and recurring runs, refuses what the real one refuses (unknown fields,
specifications that do not parse, parameters that the pipeline does not declare, a missing namespace or token), and lets
a run go through its tasks one step per query. It starts no pods.
"""

import contextlib
import datetime
import email
import email.policy
import http.server
import json
import re
import urllib.parse
import uuid
from typing import Any

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

MODELS = kfp_server_api.ApiClient()
PREFIX = "/apis/v2beta1/"
TASKS = ("root", "fingerprint", "train")


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def checked(body: Any, model: str) -> dict[str, Any]:
    """``body`` as the client's own model reads and writes it; anything that the model does not know is refused."""

    class Reply:
        data = json.dumps(body)

    known = MODELS.sanitize_for_serialization(MODELS.deserialize(Reply, model))
    if unknown := set(body) - set(known):
        raise Refused(400, f"unknown fields: {unknown}")
    return known


class KfpApi(http.server.ThreadingHTTPServer):
    def __init__(self, *, multi_user: bool = False, token: str = "", namespaces: tuple[str, ...] = ("anna",)) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.multi_user, self.token, self.namespaces = multi_user, token, namespaces
        self.kept: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("pipelines", "versions", "experiments", "runs", "recurringruns")
        }
        self.outcome = "SUCCEEDED"
        self.calls: list[str] = []

    def keep(self, kind: str, body: dict[str, Any], key: str, **more: Any) -> dict[str, Any]:
        now = (datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=len(self.calls))).isoformat() + "Z"
        body = body | {key: str(uuid.uuid4()), "created_at": now} | more
        self.kept[kind].insert(0, body)
        return body

    def find(self, kind: str, key: str, value: str) -> dict[str, Any]:
        for one in self.kept[kind]:
            if one[key] == value:
                return one
        raise Refused(404, f"{kind} {value} not found")

    def listing(self, query: dict[str, str], field: str, kept: list[dict[str, Any]]) -> dict[str, Any]:
        for predicate in json.loads(query.get("filter", "{}")).get("predicates", []):
            assert predicate["operation"] in (1, "EQUALS")
            kept = [one for one in kept if one.get(predicate["key"]) == predicate["stringValue"]]
        if query.get("namespace"):
            kept = [one for one in kept if one.get("namespace", query["namespace"]) == query["namespace"]]
        start, size = int(query.get("page_token") or 0), int(query.get("page_size") or 10)
        token = {"next_page_token": str(start + size)} if len(kept) > start + size else {}
        return {field: kept[start : start + size], "total_size": len(kept), **token}

    def upload(self, query: dict[str, str], package: bytes) -> dict[str, Any]:
        if any(
            one["pipeline_id"] == query["pipelineid"] and one["name"] == query["name"] for one in self.kept["versions"]
        ):
            raise Refused(409, "Already exist error")
        self.find("pipelines", "pipeline_id", query["pipelineid"])
        ir, *platform = yaml.safe_load_all(package)
        try:
            json_format.ParseDict(ir, pipeline_spec_pb2.PipelineSpec())
            for one in platform:
                json_format.ParseDict(one, pipeline_spec_pb2.PlatformSpec())
        except json_format.ParseError as error:
            raise Refused(400, f"invalid specification: {error}") from None
        spec = {"pipeline_spec": ir, "platform_spec": platform[0]} if platform else ir
        body = {"pipeline_id": query["pipelineid"], "name": query["name"], "display_name": query["name"]}
        body |= {"description": query.get("description", ""), "pipeline_spec": spec}
        return self.keep("versions", checked(body, "V2beta1PipelineVersion"), "pipeline_version_id")

    def accept(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Checks the body of a run or recurring run as the server would."""
        body = checked(body, {"runs": "V2beta1Run", "recurringruns": "V2beta1RecurringRun"}[kind])
        experiment = self.find("experiments", "experiment_id", body["experiment_id"])
        version = self.find(
            "versions", "pipeline_version_id", body["pipeline_version_reference"]["pipeline_version_id"]
        )
        spec = version["pipeline_spec"].get("pipeline_spec", version["pipeline_spec"])
        declared, given = spec["root"]["inputDefinitions"]["parameters"], body["runtime_config"].get("parameters", {})
        lost = {name for name, parameter in declared.items() if not parameter.get("isOptional")} - set(given)
        if lost or set(given) - set(declared):
            raise Refused(400, "parameters do not match the pipeline")
        return body | {"namespace": experiment.get("namespace", "")}

    def query(self, run: dict[str, Any]) -> dict[str, Any]:
        """The state of a run, which advances by one step at each query."""
        seen = run["queries"] = run.get("queries", 0) + 1
        done = seen > len(TASKS)
        states = ["SUCCEEDED" if index < seen - 1 else "RUNNING" for index in range(min(seen, len(TASKS)))]
        if done:
            states[-1] = self.outcome
        details = [
            {"task_id": str(index), "display_name": name, "state": state}
            for index, (name, state) in enumerate(zip(TASKS, states, strict=False))
        ]
        return {name: value for name, value in run.items() if name not in ("queries", "namespace")} | {
            "state": self.outcome if done else "RUNNING",
            "run_details": {"task_details": details},
        }

    def authorise(self, headers: Any, namespace: str | None) -> None:
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(401, "Request header error: there is no user identity header")
        if self.multi_user and namespace is not None and namespace not in self.namespaces:
            raise Refused(403 if namespace else 400, f"User is not authorized for namespace {namespace!r}")


class Handler(http.server.BaseHTTPRequestHandler):
    server: KfpApi

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> Any:
        path, _, query_text = self.path.partition("?")
        if not path.startswith(PREFIX):
            raise Refused(404, "no such path")
        query = dict(urllib.parse.parse_qsl(query_text))
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls.append(f"{self.command} {path.removeprefix(PREFIX)}")
        route, server = path.removeprefix(PREFIX).split("/"), self.server
        match (self.command, *route):
            case ("GET", "healthz"):
                return {"multi_user": server.multi_user, "pipeline_store": "database"}
            case ("GET", "pipelines"):
                server.authorise(self.headers, query.get("namespace", ""))
                return server.listing(query, "pipelines", server.kept["pipelines"])
            case ("POST", "pipelines"):
                body = checked(json.loads(data), "V2beta1Pipeline")
                server.authorise(self.headers, body.get("namespace", ""))
                return server.keep("pipelines", body, "pipeline_id")
            case ("POST", "pipelines", "upload_version"):
                server.authorise(self.headers, None)
                return server.upload(query, _file(self.headers["Content-Type"], data))
            case ("GET", "pipelines", pipeline, "versions"):
                server.authorise(self.headers, None)
                kept = [one for one in server.kept["versions"] if one["pipeline_id"] == pipeline]
                return server.listing(query, "pipeline_versions", kept)
            case ("GET", "experiments"):
                server.authorise(self.headers, query.get("namespace", ""))
                return server.listing(query, "experiments", server.kept["experiments"])
            case ("POST", "experiments"):
                body = checked(json.loads(data), "V2beta1Experiment")
                server.authorise(self.headers, body.get("namespace", ""))
                return server.keep("experiments", body, "experiment_id")
            case ("POST", "runs" | "recurringruns" as kind):
                body = server.accept(kind, json.loads(data))
                server.authorise(self.headers, body["namespace"])
                key, more = ("run_id", {}) if kind == "runs" else ("recurring_run_id", {"status": "ENABLED"})
                return server.keep(kind, body, key, **more)
            case ("GET", "runs", run):
                server.authorise(self.headers, None)
                return server.query(server.find("runs", "run_id", run))
            case ("GET", "recurringruns"):
                server.authorise(self.headers, query.get("namespace", ""))
                return server.listing(query, "recurringRuns", server.kept["recurringruns"])
            case ("POST", "recurringruns", change):
                found = re.fullmatch(r"(.+):(enable|disable)", change)
                server.authorise(self.headers, None)
                one = server.find("recurringruns", "recurring_run_id", found[1])
                one["status"] = f"{found[2].upper()}D"
                return {}
            case ("DELETE", "recurringruns", one):
                server.authorise(self.headers, None)
                server.kept["recurringruns"].remove(server.find("recurringruns", "recurring_run_id", one))
                return {}
        raise Refused(404, "no such method")

    def do_GET(self) -> None:
        self.reply()

    def do_POST(self) -> None:
        self.reply()

    def do_DELETE(self) -> None:
        self.reply()

    def reply(self) -> None:
        try:
            status, body = 200, self.answer()
        except Refused as error:
            status, body = error.status, {"error": str(error), "message": str(error), "code": error.status}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the client has stopped waiting
            self.wfile.write(content)


def _file(content_type: str, data: bytes) -> bytes:
    """The file ``uploadfile`` of a multipart body."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + data, policy=email.policy.HTTP)
    [part] = [
        part for part in message.iter_parts() if part.get_param("name", header="content-disposition") == "uploadfile"
    ]
    return part.get_payload(decode=True)
