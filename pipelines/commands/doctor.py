"""The command ``srs doctor``: checks this machine or a cluster."""

import dataclasses
import json
from typing import Annotated

import typer
from rich.text import Text

from components.common import defaults
from pipelines.commands.cluster import (
    DEFAULTS,
    AccountOption,
    CaOption,
    ConfigMapOption,
    HostOption,
    KeySecretOption,
    S3SecretOption,
    TokenOption,
    read_token,
)
from pipelines.commands.terminal import HOME, HomeOption, JsonOption, PortOption, app, screen


@app.command()
def doctor(
    home: HomeOption = HOME,
    port: PortOption = defaults.HTTP_PORT,
    as_json: JsonOption = False,
    cluster: Annotated[bool, typer.Option("--cluster", help="Check the cluster of the current kubeconfig.")] = False,
    namespace: Annotated[
        str,
        typer.Option(envvar="KF_PIPELINES_NAMESPACE", help="Namespace of the runs; kubeflow if KFP is single-user."),
    ] = "kubeflow",
    serving_namespace: Annotated[str, typer.Option(help="Namespace of the InferenceService.")] = defaults.NAMESPACE,
    service_account: AccountOption = "",
    host: HostOption = "",
    token_file: TokenOption = None,
    ca_file: CaOption = "",
    mlflow: Annotated[
        str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="Address of MLflow, as reached from here.")
    ] = "",
    bucket: Annotated[list[str] | None, typer.Option(help="Bucket that the pods use; may be repeated.")] = None,
    gpu_type: Annotated[str, typer.Option(help="Resource name of the GPUs.")] = defaults.GPU_TYPE,
    config_map: ConfigMapOption = DEFAULTS.config_map,
    s3_secret: S3SecretOption = DEFAULTS.s3_secret,
    pseudonym_secret: KeySecretOption = DEFAULTS.pseudonym_secret,
) -> None:
    """Check this machine, or a cluster with --cluster; each line is ok or says what to fix."""
    if cluster:
        from pipelines.cluster.connection import Address
        from pipelines.definitions.options import Compiled
        from pipelines.doctor.namespace import examine_cluster, in_cluster_mlflow
        from pipelines.doctor.services import examine_services
        from pipelines.doctor.target import Target

        names = Compiled(config_map=config_map, s3_secret=s3_secret, pseudonym_secret=pseudonym_secret)
        target = Target(namespace, serving_namespace, service_account, gpu_type, names)
        findings = examine_cluster(target)
        address = Address(host, namespace, read_token(token_file), ca_file)
        findings += examine_services(address, mlflow, in_cluster_mlflow(target), bucket or [])
    else:
        from pipelines.doctor.machine import examine

        findings = examine(home, port)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            mark = ("ok  ", "green") if finding.ok else ("fix ", "bold red")
            screen.print(Text.assemble(mark, f"  {finding.what:<16} {finding.text}"), soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(2)
