"""Commands for a KFP cluster: compile, publish, submit, schedule."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.terminal import app, screen

PipelineOption = Annotated[str, typer.Option("--pipeline", help="srs-response or phantom.")]
ImageOption = Annotated[str, typer.Option("--image", help="Image of the pipeline's steps.")]
ParallelismOption = Annotated[int, typer.Option("--parallelism", min=0, help="Training pods at a time; 0: no limit.")]
RetriesOption = Annotated[int, typer.Option("--retries", min=0, help="Retries of a failed training pod.")]
TimeoutOption = Annotated[int, typer.Option("--timeout", min=0, help="Seconds of a training pod; 0: no limit.")]
ShmOption = Annotated[str, typer.Option("--shm", help="Shared memory of a training pod, e.g. 2Gi.")]
ClaimOption = Annotated[str, typer.Option("--state-claim", help="PersistentVolumeClaim mounted at /state.")]
ConfigMapOption = Annotated[str, typer.Option("--config-map", help="ConfigMap with addresses of MLflow and S3.")]
S3SecretOption = Annotated[str, typer.Option("--s3-secret", help="Secret with the object store's credentials.")]
KeySecretOption = Annotated[str, typer.Option("--pseudonym-secret", help="Secret with SRS_PSEUDONYM_KEY.")]
UserOption = Annotated[int, typer.Option("--run-as-user", help="Numeric user of all pods.")]


@app.command("compile")
def compile_(
    output: Annotated[Path, typer.Option("-o", "--output", help="YAML file to write.")],
    pipeline: PipelineOption = "srs-response",
    image: ImageOption = "",
    parallelism: ParallelismOption = 0,
    retries: RetriesOption = 2,
    timeout: TimeoutOption = 0,
    shm: ShmOption = "",
    state_claim: ClaimOption = "",
    config_map: ConfigMapOption = "srs-response",
    s3_secret: S3SecretOption = "srs-response-s3",  # noqa: S107 a name
    pseudonym_secret: KeySecretOption = "srs-response-pseudonym",  # noqa: S107 a name
    run_as_user: UserOption = 10001,
) -> None:
    """Compile a pipeline to YAML for a KFP cluster, the same bytes each time; prints their SHA-256."""
    from pipelines.cluster import compile_pipeline
    from pipelines.pods import Compiled

    options = Compiled(
        **({"image": image} if image else {}),
        parallelism=parallelism,
        retries=retries,
        timeout_seconds=timeout,
        shared_memory=shm,
        state_claim=state_claim,
        config_map=config_map,
        s3_secret=s3_secret,
        pseudonym_secret=pseudonym_secret,
        run_as_user=run_as_user,
    )
    digest = compile_pipeline(pipeline, output, options)
    screen.print(f"{output}  sha256 {digest}", soft_wrap=True)
