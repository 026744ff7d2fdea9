"""Rolls out a version: applies it, waits until it is ready, queries it, and rolls back if any of this fails.

Only this step writes the InferenceService, by server-side apply with its own field manager. The object that was applied
last is stored as an annotation, so that a failed deployment restores exactly that object.
"""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from components.common.errors import SrsError
from components.deploy.cluster import Cluster
from components.deploy.inference_service import (
    APPLIED,
    FORMER,
    annotation,
    is_blocked,
    problem_of,
    url_of,
)
from components.deploy.template import Template

POLL_S = 2.0
#: KServe's names of the mode that runs on Knative, which was formerly called Serverless.
KNATIVE_MODES = ("Knative", "Serverless")

Outcome = Literal["deployed", "unchanged", "moved on"]


def deploy(
    cluster: Cluster,
    body: dict[str, Any],
    template: Template,
    *,
    is_champion: Callable[[], bool],
    smoke: Callable[[str], str],
    notify: Callable[[str], None] = print,
    timeout_s: float = 600.0,
) -> Outcome:
    """Brings the cluster to ``body``, or back to its former state.

    Parameters
    ----------
    cluster
        The namespace to write to.
    body
        Result of ``build``.
    template
        Determines whether a new version gets only a part of the traffic first.
    is_champion
        Whether the alias still names the version; called before anything is written. If another deployment has written
        since, nothing is rolled back.
    smoke
        Queries the predictor at a base URL; returns "" if the new version replies correctly, else the problem.
    notify
        Called with a message if a requested feature, such as a canary, is not available.
    timeout_s
        Time for each new generation to become ready and to reply correctly, s.

    Raises
    ------
    SrsError
        ``DEPLOY_FAILED`` with the reason.
    """
    name, wanted = body["metadata"]["name"], annotation(body, APPLIED)
    before = cluster.read(name)
    if not is_champion():
        return "moved on"
    if before is not None and annotation(before, APPLIED) == wanted and _is_served(before, body):
        return "unchanged"
    former = _former(before, wanted)
    body["metadata"]["annotations"][FORMER] = former
    stages = [*canary(body, former, template, before, notify), body]
    ours = [annotation(stage, APPLIED) for stage in stages]
    try:
        reason = _carry_out(cluster, stages, smoke, timeout_s)
    except BaseException:  # a bug, or the pod is stopped: roll back all the same
        with contextlib.suppress(Exception):  # the original exception matters more
            _roll_back(cluster, name, former, ours)
        raise
    if not reason:
        return "deployed"
    try:
        if not _roll_back(cluster, name, former, ours):
            return "moved on"
    except SrsError as second:
        reason = f"{reason}; the former object could not be restored: {second.safe_message}"
        raise SrsError("DEPLOY_FAILED", reason, f"Restore the InferenceService by hand. {second.hint}") from second
    raise SrsError("DEPLOY_FAILED", f"the version was rolled back: {reason}", "See `kubectl describe isvc`.")


def _is_served(service: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Whether KServe serves the object in ``body``, unchanged by hand."""
    return not problem_of(service, int(service["metadata"].get("generation", 0))) and _contains(
        service["spec"], body["spec"]
    )


def _contains(actual: Any, wanted: Any) -> bool:
    """Whether ``actual`` has all that is wanted; fields that others added are ignored."""
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        return all(key in actual and _contains(actual[key], value) for key, value in wanted.items())
    return bool(actual == wanted)


def _carry_out(cluster: Cluster, stages: list[dict[str, Any]], smoke: Callable[[str], str], timeout_s: float) -> str:
    """Applies one stage after the other, each once the one before is ready; "" or the reason of a failure."""
    try:
        for stage in stages:
            applied = cluster.apply(stage)["metadata"]
            reason = _wait(cluster, applied["name"], int(applied["generation"]), smoke, timeout_s)
            if reason:
                return reason
    except SrsError as error:
        return error.safe_message
    return ""


def _roll_back(cluster: Cluster, name: str, former: str, ours: list[str]) -> bool:
    """Restores ``former``; False, and no change, if another deployment has written since."""
    now = cluster.read(name)
    if now is not None and annotation(now, APPLIED) not in (*ours, former):
        return False
    _restore(cluster, name, former)
    return True


def _former(before: Mapping[str, Any] | None, wanted: str) -> str:
    """The object to restore: the current one, or the one before it if an earlier attempt has already applied ours."""
    if before is None:
        return ""
    applied = annotation(before, APPLIED)
    return applied if applied != wanted else annotation(before, FORMER)


def _restore(cluster: Cluster, name: str, former: str) -> None:
    if not former:
        cluster.delete(name)
        return
    body = json.loads(former)
    body["metadata"]["annotations"] |= {APPLIED: former, FORMER: ""}
    cluster.apply(body)


def _wait(cluster: Cluster, name: str, generation: int, smoke: Callable[[str], str], timeout_s: float) -> str:
    """Waits until the new generation is ready and replies correctly; "" or the problem."""
    deadline, problem = time.monotonic() + timeout_s, "it was not checked"
    while time.monotonic() < deadline:
        service = cluster.read(name)
        if service is None:
            return "the InferenceService was deleted"
        problem = problem_of(service, generation) or smoke(url_of(service))
        if not problem or is_blocked(service, generation):
            return problem
        time.sleep(POLL_S)
    return f"not ready in {timeout_s:.0f} s: {problem}"


def canary(
    body: Mapping[str, Any],
    former: str,
    template: Template,
    before: Mapping[str, Any] | None,
    notify: Callable[[str], None],
) -> list[dict[str, Any]]:
    """The stage in which ``body`` gets a part of the traffic and ``former`` the rest; empty where this is impossible.

    Knative routes a part to the newest revision by ``canaryTrafficPercent``, which Standard mode silently ignores.
    Standard mode has ``spec.canary``, which only the Gateway API implements.
    """
    if not template.canary_percent:
        return []
    mode = str((before or {}).get("status", {}).get("deploymentMode", ""))
    if not former or not mode:
        notify("no canary: no former version is served with which it could share the traffic")
        return []
    stage: dict[str, Any] = json.loads(json.dumps(body))
    if mode in KNATIVE_MODES:
        stage["spec"]["predictor"]["canaryTrafficPercent"] = template.canary_percent
    elif template.gateway_api:
        stage = json.loads(former)
        new = {"predictor": body["spec"]["predictor"], "trafficPercent": template.canary_percent}
        stage["spec"]["canary"] = [new]
    else:
        notify(f"no canary: KServe cannot share traffic in {mode} mode without the Gateway API")
        return []
    stage["metadata"]["annotations"] |= {APPLIED: former, FORMER: former}
    return [stage]
