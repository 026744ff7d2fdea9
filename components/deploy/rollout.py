"""The way of a version into the cluster: applied, waited for, asked, and put back if it fails.

This step alone writes the InferenceService, by server-side apply as a field manager of its own. What was applied
last is kept as an annotation, so that a failed deployment goes back to exactly that.
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
#: What KServe calls the mode that runs on Knative; it was Serverless once.
KNATIVE_MODES = ("Knative", "Serverless")

Outcome = Literal["deployed", "unchanged", "moved on"]


def deploy(
    cluster: Cluster,
    body: dict[str, Any],
    template: Template,
    *,
    is_champion: Callable[[], bool],
    smoke: Callable[[str], str],
    tell: Callable[[str], None] = print,
    timeout_s: float = 600.0,
) -> Outcome:
    """Brings the cluster to ``body``, or back to where it was.

    Parameters
    ----------
    cluster
        The namespace to write to.
    body
        From ``build``.
    template
        Says whether a new version gets a part of the traffic first.
    is_champion
        Whether the alias still names the version; asked before anything is written. Where another deployment wrote
        after us, nothing is taken back.
    smoke
        Queries the predictor at a base URL and returns "" where it is the new version and right, else what is wrong.
    tell
        Told of what was asked for and cannot be had.
    timeout_s
        For each new generation to be ready and to answer, s.

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
    stages = [*canary(body, former, template, before, tell), body]
    ours = [annotation(stage, APPLIED) for stage in stages]
    try:
        reason = _carry_out(cluster, stages, smoke, timeout_s)
    except BaseException:  # a bug, or the pod is stopped: what is half done is taken back all the same
        with contextlib.suppress(Exception):  # the reason above matters more
            _take_back(cluster, name, former, ours)
        raise
    if not reason:
        return "deployed"
    try:
        if not _take_back(cluster, name, former, ours):
            return "moved on"
    except SrsError as second:
        reason = f"{reason}; what was there before could not be restored: {second.safe_message}"
        raise SrsError("DEPLOY_FAILED", reason, f"Restore the InferenceService by hand. {second.hint}") from second
    raise SrsError("DEPLOY_FAILED", f"the version was taken back: {reason}", "`kubectl describe isvc` tells more.")


def _is_served(service: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Whether KServe serves what ``body`` asks for, and nobody changed it by hand."""
    return not problem_of(service, int(service["metadata"].get("generation", 0))) and _holds(
        service["spec"], body["spec"]
    )


def _holds(found: Any, wanted: Any) -> bool:
    """Whether all that is wanted is found; what others added beside it is theirs."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(key in found and _holds(found[key], value) for key, value in wanted.items())
    return bool(found == wanted)


def _carry_out(cluster: Cluster, stages: list[dict[str, Any]], smoke: Callable[[str], str], timeout_s: float) -> str:
    """Applies one stage after the other, each when the one before answers; "" or why one did not."""
    try:
        for stage in stages:
            applied = cluster.apply(stage)["metadata"]
            reason = _wait(cluster, applied["name"], int(applied["generation"]), smoke, timeout_s)
            if reason:
                return reason
    except SrsError as error:
        return error.safe_message
    return ""


def _take_back(cluster: Cluster, name: str, former: str, ours: list[str]) -> bool:
    """Restores ``former``; False where another deployment wrote after us, and what it wrote stands."""
    now = cluster.read(name)
    if now is not None and annotation(now, APPLIED) not in (*ours, former):
        return False
    _restore(cluster, name, former)
    return True


def _former(before: Mapping[str, Any] | None, wanted: str) -> str:
    """What to go back to: the object before, or, where an attempt that died applied ours, the one before that."""
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
    """Waits until the new generation is ready and answers rightly; "" or why it did not."""
    deadline, problem = time.monotonic() + timeout_s, "it was not looked at"
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
    tell: Callable[[str], None],
) -> list[dict[str, Any]]:
    """The stage that gives ``body`` its first part of the traffic beside ``former``; none where there can be none.

    Knative routes a part to the newest revision by ``canaryTrafficPercent``, which Standard mode ignores without a
    word. Standard mode has ``spec.canary``, which only the Gateway API carries out.
    """
    if not template.canary_percent:
        return []
    mode = str((before or {}).get("status", {}).get("deploymentMode", ""))
    if not former or not mode:
        tell("no canary: there is no version beside which it could stand")
        return []
    stage: dict[str, Any] = json.loads(json.dumps(body))
    if mode in KNATIVE_MODES:
        stage["spec"]["predictor"]["canaryTrafficPercent"] = template.canary_percent
    elif template.gateway_api:
        stage = json.loads(former)
        new = {"predictor": body["spec"]["predictor"], "trafficPercent": template.canary_percent}
        stage["spec"]["canary"] = [new]
    else:
        tell(f"no canary: KServe shares no traffic in {mode} mode without the Gateway API")
        return []
    stage["metadata"]["annotations"] |= {APPLIED: former, FORMER: former}
    return [stage]
