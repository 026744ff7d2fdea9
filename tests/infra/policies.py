"""Policies for the references among rendered objects; each returns its problems, none if all are right."""

import re
from collections.abc import Callable

from tests.infra.manifests import (
    Object,
    Pod,
    documented_config_maps,
    documented_secrets,
    label,
    may_flow,
    namespace_of,
    of_kind,
    pods,
    references,
    selects,
    template,
)
from tests.infra.pod_policies import POD_POLICIES, Problems

#: What KFP and Kubeflow bring: roles of run pods, which we bind and do not make.
FOREIGN_ROLES = {("Role", "pipeline-runner"), ("ClusterRole", "kubeflow-edit")}
#: What KServe labels a predictor's pods and Service with.
KSERVE_LABEL = "serving.kserve.io/inferenceservice"


def references_exist(objects: list[Object]) -> Problems:
    """ConfigMaps and Secrets are here or created as infra/README says, with their keys; service accounts are here."""
    here = {(one["kind"], namespace_of(one), one["metadata"]["name"]): one for one in objects}
    secrets, maps = documented_secrets(), documented_config_maps()
    for pod in pods(objects):
        for kind, name, key in references(pod.spec):
            known = here.get((kind, pod.namespace, name), {}).get("data", maps.get(pod.namespace, {}).get(name))
            if kind == "Secret":
                known = secrets.get(pod.namespace, {}).get(name)
            if known is None:
                yield f"{pod.owner}: there is no {kind} {name}"
            elif key and key not in known:
                yield f"{pod.owner}: {kind} {name} has no key {key}"
        account = pod.spec.get("serviceAccountName", "default")
        if ("ServiceAccount", pod.namespace, account) not in here:
            yield f"{pod.owner}: there is no ServiceAccount {account}"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.owner}: holds a token that it does not need"
    for account in of_kind(objects, "ServiceAccount"):
        for secret in account.get("secrets", []):
            if secret["name"] not in secrets.get(namespace_of(account), {}):
                yield f"{label(account)}: there is no Secret {secret['name']}"


def services_reach_pods(objects: list[Object]) -> Problems:
    for service in of_kind(objects, "Service"):
        chosen = [pod for pod in pods(objects) if _chosen({"matchLabels": service["spec"]["selector"]}, service, pod)]
        if not chosen:
            yield f"{label(service)} selects no pod"
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            if any(target not in _ports(pod) for pod in chosen):
                yield f"{label(service)}: no port {target}"
    for one in of_kind(objects, "StatefulSet"):
        if one["spec"]["serviceName"] not in {s["metadata"]["name"] for s in of_kind(objects, "Service")}:
            yield f"{label(one)}: there is no Service {one['spec']['serviceName']}"


def workloads_select_their_pods(objects: list[Object]) -> Problems:
    for one in of_kind(objects, "Deployment", "StatefulSet"):
        if not selects(one["spec"]["selector"], one["spec"]["template"]["metadata"]["labels"]):
            yield f"{label(one)} does not select its own pods"


def selectors_hit_pods(objects: list[Object]) -> Problems:
    """Selectors of disruption budgets, network policies and their peers, and ServiceMonitors match pods."""
    for one in of_kind(objects, "PodDisruptionBudget"):
        if not any(_chosen(one["spec"]["selector"], one, pod) for pod in pods(objects)):
            yield f"{label(one)} selects no pod"
    for one in of_kind(objects, "ServiceMonitor"):
        if one["spec"]["selector"].get("matchLabels") != {KSERVE_LABEL: template(objects)["name"]}:
            yield f"{label(one)} does not select KServe's Service"
    for policy in of_kind(objects, "NetworkPolicy"):
        spec = policy["spec"]
        if not any(_chosen(spec["podSelector"], policy, pod) for pod in pods(objects)):
            yield f"{label(policy)} selects no pod"
        for peer in [p for rule in spec.get("ingress", []) + spec.get("egress", []) for p in _peers(rule)]:
            if "namespaceSelector" not in peer and not any(
                _chosen(peer["podSelector"], policy, pod) for pod in pods(objects)
            ):
                yield f"{label(policy)}: a peer selects no pod"


def network_is_closed_but_for_what_is_needed(objects: list[Object]) -> Problems:
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(policy["spec"] == closed for policy in of_kind(objects, "NetworkPolicy")):
        yield "a pod that is not thought of here may do anything"
    named = {pod.labels.get("app.kubernetes.io/name", "predictor"): pod for pod in pods(objects)}
    runs = Pod("a run's pod", _namespace_of_runs(objects), {}, {"containers": []})
    stranger = Pod("a stranger", "elsewhere", {}, {"containers": []})
    needed = [
        (named["mlflow"], named["postgres"], 5432),
        (runs, named["mlflow"], 5000),
        (runs, named["predictor"], 8080),
    ]
    if "s3" in named:
        needed += [(pod, named["s3"], 8333) for pod in (named["mlflow"], named["predictor"], runs)]
    for source, target, port in needed:
        if not may_flow(objects, source, target, port):
            yield f"{source.owner} cannot reach {target.owner}"
    for target in named.values():
        for port in {p for p in _ports(target) if isinstance(p, int)}:
            if may_flow(objects, stranger, target, port):
                yield f"anyone may reach {target.owner}"
        if may_flow(objects, target, stranger, 9):
            yield f"{target.owner} may reach anyone"
    if may_flow(objects, named["predictor"], named["postgres"], 5432):
        yield "the predictor may reach the database"


def rights_are_bound_and_least(objects: list[Object]) -> Problems:
    here = {(one["kind"], namespace_of(one), one["metadata"]["name"]) for one in objects}
    for binding in of_kind(objects, "RoleBinding"):
        role = (binding["roleRef"]["kind"], binding["roleRef"]["name"])
        if role not in FOREIGN_ROLES and (role[0], namespace_of(binding), role[1]) not in here:
            yield f"{label(binding)}: there is no {' '.join(role)}"
        for subject in binding["subjects"]:
            if (subject["kind"], subject["namespace"], subject["name"]) not in here:
                yield f"{label(binding)}: there is no {subject['kind']} {subject['name']}"
    for one in of_kind(objects, "ClusterRole", "ClusterRoleBinding"):
        yield f"{label(one)} reaches beyond the namespace"
    for role in of_kind(objects, "Role"):
        for rule in role["rules"]:
            if "*" in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]] or "secrets" in rule["resources"]:
                yield f"{label(role)} gives more than is needed"


def deploy_step_finds_its_parts(objects: list[Object]) -> Problems:
    """Template, runtime and rights name one InferenceService, and nothing else here makes or scales it."""
    values = template(objects)
    runtimes = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "ServingRuntime")}
    formats = [one["name"] for one in runtimes.get(values["runtime"], {}).get("supportedModelFormats", [])]
    if values["model_format"] not in formats:
        yield f"no ServingRuntime {values['runtime']} for the format {values['model_format']}"
    for role in of_kind(objects, "Role"):
        for rule in role["rules"]:
            named = rule.get("resourceNames", [values["name"]])
            if "inferenceservices" in rule["resources"] and named != [values["name"]]:
                yield f"{label(role)} is for another InferenceService"
    for one in of_kind(objects, "InferenceService", "HorizontalPodAutoscaler"):
        yield f"{label(one)} belongs to the deploy step or to KServe"


def addresses_agree(objects: list[Object]) -> Problems:
    """Runs and MLflow have the same addresses; hosts in the cluster are Services here, and MLflow accepts its own."""
    maps = [one["data"] for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == "srs-response"]
    if len(maps) != 2 or maps[0] != maps[1]:
        yield "the addresses of runs and of MLflow differ"
    services = {
        (one["metadata"]["name"], namespace_of(one)): one["spec"]["ports"] for one in of_kind(objects, "Service")
    }
    for name, value in maps[0].items():
        found = re.fullmatch(r"http://([\w-]+)\.([\w-]+)(?:\.svc[\w.]*)?:(\d+)", value)
        if found and int(found[3]) not in [p["port"] for p in services.get((found[1], found[2]), [])]:
            yield f"{name}: no Service at {value}"
    host = maps[0]["MLFLOW_TRACKING_URI"].partition("://")[2].partition(":")[0]
    allowed = mlflow_hosts(objects)
    for needed in (host, f"{host}:*", f"{host}.svc.cluster.local", f"{host}.svc.cluster.local:*"):
        if needed not in allowed:
            yield f"MLflow answers 403 to {needed}"


POLICIES: tuple[Callable[[list[Object]], Problems], ...] = (
    *POD_POLICIES,
    references_exist,
    services_reach_pods,
    workloads_select_their_pods,
    selectors_hit_pods,
    network_is_closed_but_for_what_is_needed,
    rights_are_bound_and_least,
    deploy_step_finds_its_parts,
    addresses_agree,
)


def _ports(pod: Pod) -> set[int | str]:
    ports = [port for container in pod.spec["containers"] for port in container.get("ports", [])]
    return {port["containerPort"] for port in ports} | {port["name"] for port in ports if "name" in port}


def _chosen(selector: Object, one: Object, pod: Pod) -> bool:
    return pod.namespace == namespace_of(one) and selects(selector, pod.labels)


def _peers(rule: Object) -> list[Object]:
    return [*rule.get("from", []), *rule.get("to", [])]


def _namespace_of_runs(objects: list[Object]) -> str:
    accounts = [one for one in of_kind(objects, "ServiceAccount") if one["metadata"]["name"] == "srs-response-pipeline"]
    return namespace_of(accounts[0])


def mlflow_hosts(objects: list[Object]) -> list[str]:
    (server,) = [one for one in of_kind(objects, "Deployment") if one["metadata"]["name"] == "srs-response-mlflow"]
    (line,) = [
        a for a in server["spec"]["template"]["spec"]["containers"][0]["args"] if a.startswith("--allowed-hosts=")
    ]
    return list(line.partition("=")[2].split(","))
