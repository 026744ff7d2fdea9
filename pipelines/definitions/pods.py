"""What the tasks' pods get on a cluster: fixed when a pipeline is compiled, without effect on a local run.

Everything that names something of the cluster stands here. Secrets and addresses come into a pod by reference: the
pipeline holds names only. KFP takes the service account with each run, and cannot make a root file system read-only.
"""

import dataclasses
import re
from typing import Any

from kfp import dsl, kubernetes

from components.common.errors import InputError
from components.common.image import PIPELINE_IMAGE

#: ConfigMap key, and name of the environment variable, of each address.
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_S3_ENDPOINT_URL", "S3_ENDPOINT", "AWS_REGION")
#: Secret key, and name of the environment variable, of the object store's credentials.
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
PSEUDONYM_KEY = "SRS_PSEUDONYM_KEY"
#: Secret key, and name of the environment variable, of the PEM text that bundles are signed with.
SIGNING_KEY = "SRS_SIGNING_KEY"
#: First pause before a failed training pod is started again; the next is twice as long, to an hour at most.
BACKOFF, BACKOFF_FACTOR = "30s", 2.0
#: Where a claim with the member store is mounted: ``state_uri`` is then this folder or one below it.
STATE_FOLDER = "/state"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Compiled:
    """The options that KFP fixes when it compiles; ``str`` tells them, for the pipeline's description.

    Parameters
    ----------
    image
        Image of every step.
    parallelism
        Most packs that train at a time; 0 is no limit.
    retries
        How often a failed training pod is started again. KFP starts a deleted one never again.
    timeout_seconds
        Limit of one training pod; 0 is none.
    shared_memory
        Size of a training pod's /dev/shm, e.g. ``2Gi``; "" leaves the node's default of 64 MiB.
    state_claim
        PersistentVolumeClaim (ReadWriteMany) mounted at ``/state`` of preprocess and training pods; "" mounts none.
    config_map
        ConfigMap with the addresses of ``ADDRESSES``; a key that is not there is left out.
    s3_secret, pseudonym_secret
        Secrets with ``S3_KEYS``, and with ``SRS_PSEUDONYM_KEY``.
    signing_secret
        Secret with ``SRS_SIGNING_KEY``, by which promoted bundles are signed; "" leaves them unsigned.
    run_as_user
        Numeric user of every pod; never 0.
    """

    image: str = PIPELINE_IMAGE
    parallelism: int = 0
    retries: int = 0
    timeout_seconds: int = 0
    shared_memory: str = ""
    state_claim: str = ""
    config_map: str = "srs-response"
    s3_secret: str = "srs-response-s3"  # noqa: S105 a name
    pseudonym_secret: str = "srs-response-pseudonym"  # noqa: S105 a name
    signing_secret: str = ""
    run_as_user: int = 10001

    def __post_init__(self) -> None:
        names = {name: getattr(self, name) for name in ("config_map", "s3_secret", "pseudonym_secret")}
        names |= {name: value for name in ("state_claim", "signing_secret") if (value := getattr(self, name))}
        problems = [f"{name} {value!r} is no Kubernetes name" for name, value in names.items() if not _is(_NAME, value)]
        problems += [] if self.run_as_user > 0 else ["run_as_user 0 is root"]
        problems += [] if self.image and not re.search(r"\s", self.image) else ["image is not one"]
        if self.shared_memory and not _is(QUANTITY, self.shared_memory):
            problems += [f"shared_memory {self.shared_memory!r} is no quantity such as 2Gi"]
        if problems:
            raise InputError.collected(
                "COMPILE_OPTION_INVALID", "the compile options:", problems, "`srs compile --help`."
            )

    def __str__(self) -> str:
        training = (
            f"{self.parallelism or 'any number of'} training pods at a time, {self.retries} retries"
            f" (first after {BACKOFF}, then each after twice as long), time limit {self.timeout_seconds or 'none'}"
            f"{' s' if self.timeout_seconds else ''}, /dev/shm {self.shared_memory or 'of the node'}"
        )
        names = f"ConfigMap {self.config_map}, Secrets {self.s3_secret} and {self.pseudonym_secret}"
        claim = f", claim {self.state_claim} at {STATE_FOLDER}" if self.state_claim else ""
        signed = f", signed by Secret {self.signing_secret}" if self.signing_secret else ""
        return f"{training}; {names}{claim}{signed}; image {self.image}, user {self.run_as_user}"


def _is(pattern: re.Pattern[str], value: str) -> bool:
    return pattern.fullmatch(value) is not None


def place(
    task: dsl.PipelineTask, options: Compiled, *, cpu: str = "", memory: Any = "", identity: bool = False
) -> dsl.PipelineTask:
    """Gives a task its image, user, addresses, credentials and limits; nothing of it is cached.

    Parameters
    ----------
    task
        A task of either pipeline.
    options
        As compiled.
    cpu, memory
        Limits, which Kubernetes takes for requests too; ``memory`` may be a parameter of the pipeline.
    identity
        Whether the step reads patients' data and so needs the key of the pseudonyms.
    """
    task.set_caching_options(False)
    task.set_container_image(options.image)
    kubernetes.set_security_context(
        task, run_as_user=options.run_as_user, run_as_group=options.run_as_user, run_as_non_root=True
    )
    kubernetes.use_config_map_as_env(task, options.config_map, {key: key for key in ADDRESSES}, optional=True)
    kubernetes.use_secret_as_env(task, options.s3_secret, {key: key for key in S3_KEYS}, optional=True)
    if identity:  # a phantom has no patients and needs none
        kubernetes.use_secret_as_env(task, options.pseudonym_secret, {PSEUDONYM_KEY: PSEUDONYM_KEY}, optional=True)
    if cpu:
        task.set_cpu_limit(cpu)
    if memory:
        task.set_memory_limit(memory)
    if not isinstance(memory, str):  # else the compiler forgets to hand the parameter down to the task's DAG
        task.register_pipeline_channels([memory])
    return task


def place_training(task: dsl.PipelineTask, options: Compiled) -> dsl.PipelineTask:
    """Gives a training task, beside ``place``, its retries, time limit, /dev/shm and member store."""
    place(task, options)
    if options.retries:
        task.set_retry(options.retries, backoff_duration=BACKOFF, backoff_factor=BACKOFF_FACTOR)
    if options.timeout_seconds:
        kubernetes.set_timeout(task, options.timeout_seconds)
    if options.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=options.shared_memory)  # noqa: S108
    return mount_state(task, options)


def sign_with(task: dsl.PipelineTask, options: Compiled) -> dsl.PipelineTask:
    """Gives a task the key that bundles are signed with, where one is named: without that secret it does not start."""
    if options.signing_secret:
        kubernetes.use_secret_as_env(task, options.signing_secret, {SIGNING_KEY: SIGNING_KEY}, optional=False)
    return task


def mount_state(task: dsl.PipelineTask, options: Compiled) -> dsl.PipelineTask:
    """Gives a task the claim that ``state_uri`` may name, where there is one."""
    if options.state_claim:
        kubernetes.mount_pvc(task, options.state_claim, STATE_FOLDER)
    return task
