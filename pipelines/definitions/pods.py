"""Configures the tasks' pods on a cluster when a pipeline is compiled; it has no effect on a local run.

All names of cluster objects are here. A pod gets secrets and addresses by reference: the pipeline holds only their
names. The service account is given with each run; KFP cannot make a root file system read-only.
"""

from typing import Any

from kfp import dsl, kubernetes

from components.common.environment import PSEUDONYM_KEY, S3_ENDPOINT, S3_KEYS, SIGNING_KEY
from pipelines.definitions.options import BACKOFF, BACKOFF_FACTOR, STATE_FOLDER, Compiled

#: ConfigMap key, and name of the environment variable, of each address.
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_S3_ENDPOINT_URL", S3_ENDPOINT, "AWS_REGION")


def configure_pod(
    task: dsl.PipelineTask, options: Compiled, *, cpu: str = "", memory: Any = "", identity: bool = False
) -> dsl.PipelineTask:
    """Gives a task its image, user, addresses, credentials and limits, and turns off caching.

    Parameters
    ----------
    task
        A task of either pipeline.
    options
        The compile options.
    cpu, memory
        Limits, which Kubernetes also uses as requests; ``memory`` may be a parameter of the pipeline.
    identity
        Whether the step reads patients' data and therefore needs the key of the pseudonyms.
    """
    task.set_caching_options(False)
    task.set_container_image(options.image)
    kubernetes.set_security_context(
        task, run_as_user=options.run_as_user, run_as_group=options.run_as_user, run_as_non_root=True
    )
    kubernetes.use_config_map_as_env(task, options.config_map, {key: key for key in ADDRESSES}, optional=True)
    kubernetes.use_secret_as_env(task, options.s3_secret, {key: key for key in S3_KEYS}, optional=True)
    if identity:  # the phantom pipeline has no patients and needs no key
        kubernetes.use_secret_as_env(task, options.pseudonym_secret, {PSEUDONYM_KEY: PSEUDONYM_KEY}, optional=True)
    if cpu:
        task.set_cpu_limit(cpu)
    if memory:
        task.set_memory_limit(memory)
    if not isinstance(memory, str):  # else the compiler does not pass the parameter to the task's DAG
        task.register_pipeline_channels([memory])
    return task


def configure_training_pod(task: dsl.PipelineTask, options: Compiled) -> dsl.PipelineTask:
    """Gives a training task, what ``configure_pod`` does, and its retries, time limit, /dev/shm and member store."""
    configure_pod(task, options)
    if options.retries:
        task.set_retry(options.retries, backoff_duration=BACKOFF, backoff_factor=BACKOFF_FACTOR)
    if options.timeout_seconds:
        kubernetes.set_timeout(task, options.timeout_seconds)
    if options.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=options.shared_memory)  # noqa: S108
    return mount_state(task, options)


def sign_with(task: dsl.PipelineTask, options: Compiled) -> dsl.PipelineTask:
    """Gives a task the key that bundles are signed with, if an option names its Secret, which must then exist."""
    if options.signing_secret:
        kubernetes.use_secret_as_env(task, options.signing_secret, {SIGNING_KEY: SIGNING_KEY}, optional=False)
    return task


def mount_state(task: dsl.PipelineTask, options: Compiled) -> dsl.PipelineTask:
    """Mounts the claim that holds the member store, if an option names one."""
    if options.state_claim:
        kubernetes.mount_pvc(task, options.state_claim, STATE_FOLDER)
    return task
