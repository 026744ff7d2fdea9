"""What the tasks' pods get on a cluster: fixed when a pipeline is compiled, without effect on a local run.

Everything that names something of the cluster stands here. Secrets and addresses come into a pod by reference: the
pipeline holds names only. KFP takes the service account with each run, and cannot make a root file system read-only.
"""

from typing import Any

from kfp import dsl, kubernetes

from pipelines.definitions.options import BACKOFF, BACKOFF_FACTOR, STATE_FOLDER, Compiled

#: ConfigMap key, and name of the environment variable, of each address.
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_S3_ENDPOINT_URL", "S3_ENDPOINT", "AWS_REGION")
#: Secret key, and name of the environment variable, of the object store's credentials.
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
PSEUDONYM_KEY = "SRS_PSEUDONYM_KEY"
#: Secret key, and name of the environment variable, of the PEM text that bundles are signed with.
SIGNING_KEY = "SRS_SIGNING_KEY"


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
