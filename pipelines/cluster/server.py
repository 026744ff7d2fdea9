"""Publishes pipelines, starts and watches runs, and manages recurring runs on a KFP API server."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import kfp_server_api
import yaml

from components.common.errors import InputError, SrsError
from pipelines.cluster.connection import Address, connect, silence, translated

#: Seconds between two queries of a run's state.
POLL_SECONDS = 5.0
#: Characters of a pipeline's digest that name its version.
DIGEST_LENGTH = 12
#: Final states of a run.
FINAL = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """A published version of a pipeline; ``parameters`` are those that its specification declares."""

    pipeline_id: str
    version_id: str
    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    link: str
    created: bool = False


class Server:
    """One KFP API server, through KFP's own client."""

    def __init__(self, client: Any, namespace: str) -> None:
        self._client = client
        self.namespace = namespace or None

    @classmethod
    def open(cls, address: Address) -> Self:
        """Connects; raises what ``connect`` does."""
        return cls(*connect(address))

    def try_listing(self) -> None:
        """Requests one page of pipelines; raises if the caller is not allowed to list them."""
        self._client.list_pipelines(page_size=1, namespace=self.namespace)

    def publish(self, package: Path, digest: str) -> Version:
        """Creates the pipeline of a compiled file, and the version with this digest, unless they exist already."""
        info = next(yaml.safe_load_all(package.read_text()))["pipelineInfo"]
        pipeline_id = self._pipeline_id(info["name"]) or self._create(info)
        name = digest[:DIGEST_LENGTH]
        if published := self._find_version(pipeline_id, name):
            return published
        created = self._upload(package, name, pipeline_id, info.get("description", ""))
        made = self._find_version(pipeline_id, name)
        if made is None:
            raise SrsError("KFP_UNKNOWN_ANSWER", "KFP does not list the version that was just uploaded")
        return dataclasses.replace(made, created=created)

    def version(self, pipeline: str, name: str = "") -> Version:
        """A published version by its name, or the newest.

        Raises
        ------
        InputError
            ``PIPELINE_NOT_PUBLISHED``.
        """
        pipeline_id = self._pipeline_id(pipeline)
        published = self._find_version(pipeline_id, name) if pipeline_id else None
        if published is None:
            what = f"version {name} of {pipeline}" if name else pipeline
            raise InputError(
                "PIPELINE_NOT_PUBLISHED", f"{what} is not published on that KFP", "`srs publish` publishes it."
            )
        return published

    def submit(
        self, version: Version, name: str, experiment: str, parameters: Mapping[str, Any], service_account: str
    ) -> tuple[str, str]:
        """Starts a run; returns its id and the address of its page in the UI."""
        with silence():
            run = self._client.run_pipeline(
                self._experiment_id(experiment),
                name,
                params=dict(parameters),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                service_account=service_account or None,
            )
        return str(run.run_id), self.link(f"runs/details/{run.run_id}")

    def wait(self, run_id: str, progress: Callable[[str, str], None], timeout_s: float | None = None) -> str:
        """Calls ``progress`` (name, state) on every change of a task until the run ends; returns the run's final state.

        Raises
        ------
        SrsError
            ``RUN_TIMEOUT``; the run itself continues.
        """
        deadline = time.monotonic() + (timeout_s or float("inf"))
        seen: dict[str, str] = {}
        while True:
            run = self._client.get_run(run_id)
            tasks = (run.run_details.task_details or []) if run.run_details else []
            for task in tasks:
                if task.state and seen.get(task.task_id) != task.state:
                    seen[task.task_id] = task.state
                    progress(task.display_name, task.state)
            if run.state in FINAL:
                return str(run.state)
            if time.monotonic() > deadline:
                raise SrsError(
                    "RUN_TIMEOUT",
                    f"the run is still {run.state or 'PENDING'}",
                    "The run continues; follow it on its page in the KFP UI.",
                )
            time.sleep(POLL_SECONDS)

    def schedule(
        self,
        version: Version,
        name: str,
        experiment: str,
        parameters: Mapping[str, Any],
        service_account: str,
        trigger: Mapping[str, Any],
    ) -> str:
        """Creates a recurring run, one run at a time and without catching up on missed ones; returns its id.

        Raises
        ------
        InputError
            ``SCHEDULE_EXISTS``.
        """
        if any(one.display_name == name for one in self.schedules()):
            hint = f"`srs schedule {name} --delete` deletes it."
            raise InputError("SCHEDULE_EXISTS", f"there is a schedule called {name} already", hint)
        made = self._client.create_recurring_run(
            self._experiment_id(experiment),
            name,
            **trigger,
            max_concurrency=1,
            no_catchup=True,
            params=dict(parameters),
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            service_account=service_account or None,
        )
        return str(made.recurring_run_id)

    def schedules(self) -> list[Any]:
        """All recurring runs, newest first."""
        return list(_pages(self._client.list_recurring_runs, "recurring_runs", namespace=self.namespace))

    def change_schedule(self, name: str, change: str) -> None:
        """``enable``s, ``disable``s or ``delete``s a recurring run; ``SCHEDULE_UNKNOWN`` if none has the name."""
        named = [one for one in self.schedules() if one.display_name == name]
        if not named:
            raise InputError(
                "SCHEDULE_UNKNOWN", f"there is no schedule called {name}", "`srs schedule --list` lists all schedules."
            )
        for one in named:
            getattr(self._client, f"{change}_recurring_run")(one.recurring_run_id)

    def link(self, path: str) -> str:
        """Address of a page of the KFP UI."""
        return f"{self._client._get_url_prefix().rstrip('/')}/#/{path}"

    def _pipeline_id(self, name: str) -> str:
        listed = self._client.list_pipelines(filter=_equals("display_name", name), namespace=self.namespace)
        return str(listed.pipelines[0].pipeline_id) if listed.pipelines else ""

    def _create(self, info: Mapping[str, str]) -> str:
        """A pipeline without a version: an upload would name its first version after the pipeline."""
        body = kfp_server_api.V2beta1Pipeline(
            name=info["name"], display_name=info["name"], description=info.get("description"), namespace=self.namespace
        )
        return str(self._client.pipelines.pipeline_service_create_pipeline(body).pipeline_id)

    def _upload(self, package: Path, name: str, pipeline_id: str, description: str) -> bool:
        """Uploads a version; False if another client uploaded it at the same time."""
        try:
            with silence():
                self._client.upload_pipeline_version(
                    str(package), name, pipeline_id=pipeline_id, description=description
                )
        except SrsError as error:
            if error.code != "KFP_CONFLICT":
                raise
            return False
        return True

    def _find_version(self, pipeline_id: str, name: str) -> Version | None:
        chosen = {"filter": _equals("display_name", name)} if name else {}
        versions = self._client.list_pipeline_versions(
            pipeline_id, page_size=1, sort_by="created_at desc", **chosen
        ).pipeline_versions
        if not versions:
            return None
        one = versions[0]
        with translated():
            spec = one.pipeline_spec.get("pipeline_spec", one.pipeline_spec)
            declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        link = self.link(f"pipelines/details/{pipeline_id}/version/{one.pipeline_version_id}")
        return Version(pipeline_id, one.pipeline_version_id, one.display_name, declared, link)

    def _experiment_id(self, name: str) -> str:
        return str(self._client.create_experiment(name, namespace=self.namespace).experiment_id)


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})


def _pages(listing: Callable[..., Any], field: str, **arguments: Any) -> Iterator[Any]:
    token = ""
    while True:
        page = listing(page_token=token, page_size=100, sort_by="created_at desc", **arguments)
        yield from getattr(page, field) or []
        token = page.next_page_token
        if not token:
            return
