"""Commands for a KFP cluster: compile, publish, submit, schedule."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from components.common import defaults
from components.common.addresses import http_address
from components.common.checked import fields, sentence
from components.common.errors import InputError, SrsError
from components.common.field_types import shown
from pipelines.commands.terminal import app, screen
from pipelines.definitions.options import Compiled

if TYPE_CHECKING:
    from pipelines.cluster.server import Server

DEFAULTS = Compiled()

PipelineOption = Annotated[str, typer.Option("--pipeline", help="srs-response, validate or phantom.")]


def _compiled(flag: str, name: str, **limits: Any) -> Any:
    return typer.Option(flag, help=sentence(fields(Compiled)[name]), **limits)


ImageOption = Annotated[str, _compiled("--image", "image")]
ParallelismOption = Annotated[int, _compiled("--parallelism", "parallelism", min=0)]
RetriesOption = Annotated[int, _compiled("--retries", "retries", min=0)]
TimeoutOption = Annotated[int, _compiled("--timeout", "timeout_seconds", min=0)]
ShmOption = Annotated[str, _compiled("--shm", "shared_memory")]
ClaimOption = Annotated[str, _compiled("--state-claim", "state_claim")]
ConfigMapOption = Annotated[str, _compiled("--config-map", "config_map")]
S3SecretOption = Annotated[str, _compiled("--s3-secret", "s3_secret")]
KeySecretOption = Annotated[str, _compiled("--pseudonym-secret", "pseudonym_secret")]
SignSecretOption = Annotated[str, _compiled("--signing-secret", "signing_secret")]
UserOption = Annotated[int, _compiled("--run-as-user", "run_as_user")]

HostOption = Annotated[str, typer.Option("--host", envvar="KF_PIPELINES_ENDPOINT", help="Address of KFP's API or UI.")]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", envvar="KF_PIPELINES_NAMESPACE", help="Your namespace, if KFP is multi-user.")
]
TokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", envvar="KF_PIPELINES_SA_TOKEN_PATH", help="File that holds a token; or set KF_PIPELINES_TOKEN."
    ),
]
CaOption = Annotated[
    str,
    typer.Option(
        "--ca-file", envvar="KF_PIPELINES_SSL_CA_CERT", help="File with the certificate authority of the host."
    ),
]
VersionOption = Annotated[str, typer.Option("--version", help="Name of a published version; default: the newest.")]
ParamOption = Annotated[list[str] | None, typer.Option("--param", help="NAME=VALUE; may be repeated.")]
ExperimentOption = Annotated[str, typer.Option("--experiment", help="KFP experiment of the runs.")]
AccountOption = Annotated[str, typer.Option("--service-account", help="Kubernetes service account of the pods.")]


@app.command("compile")
def compile_(
    output: Annotated[Path, typer.Option("-o", "--output", help="YAML file to write.")],
    pipeline: PipelineOption = defaults.PIPELINE,
    image: ImageOption = DEFAULTS.image,
    parallelism: ParallelismOption = DEFAULTS.parallelism,
    retries: RetriesOption = DEFAULTS.retries,
    timeout: TimeoutOption = DEFAULTS.timeout_seconds,
    shm: ShmOption = DEFAULTS.shared_memory,
    state_claim: ClaimOption = DEFAULTS.state_claim,
    config_map: ConfigMapOption = DEFAULTS.config_map,
    s3_secret: S3SecretOption = DEFAULTS.s3_secret,
    pseudonym_secret: KeySecretOption = DEFAULTS.pseudonym_secret,
    signing_secret: SignSecretOption = DEFAULTS.signing_secret,
    run_as_user: UserOption = DEFAULTS.run_as_user,
) -> None:
    """Compile a pipeline to YAML for a KFP cluster, reproducibly, and print the file's SHA-256."""
    from pipelines.cluster.compiling import compile_pipeline

    options = Compiled(
        image=image,
        parallelism=parallelism,
        retries=retries,
        timeout_seconds=timeout,
        shared_memory=shm,
        state_claim=state_claim,
        config_map=config_map,
        s3_secret=s3_secret,
        pseudonym_secret=pseudonym_secret,
        signing_secret=signing_secret,
        run_as_user=run_as_user,
    )
    digest = compile_pipeline(pipeline, output, options)
    screen.print(f"{output}  sha256 {digest}", soft_wrap=True)


@app.command()
def publish(
    package: Annotated[Path, typer.Argument(help="YAML file that `srs compile` wrote.")],
    host: HostOption = "",
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
    ca_file: CaOption = "",
) -> None:
    """Publish a compiled pipeline as a version named after its digest; publishing it again changes nothing."""
    from pipelines.cluster.compiling import digest_of_package

    digest = digest_of_package(package)
    version = _server(host, namespace, token_file, ca_file).publish(package, digest)
    how = "published" if version.created else "was already published"
    screen.print(f"version {version.name} {how}  sha256 {digest}\n{version.link}", soft_wrap=True)


@app.command()
def submit(
    host: HostOption = "",
    pipeline: PipelineOption = defaults.PIPELINE,
    version: VersionOption = "",
    param: ParamOption = None,
    experiment: ExperimentOption = defaults.EXPERIMENT,
    name: Annotated[str, typer.Option(help="Name of the run; default: the names of pipeline and version.")] = "",
    service_account: AccountOption = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run ends, and print each step's state.")] = False,
    wait_limit: Annotated[int, typer.Option(min=0, help="Longest time to wait, seconds; 0: no limit.")] = 0,
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
    ca_file: CaOption = "",
) -> None:
    """Start a run of a published pipeline; its parameters are checked before anything is sent."""
    from pipelines.definitions.parameters import read_parameters, typed

    given = read_parameters(param or [])
    server = _server(host, namespace, token_file, ca_file)
    chosen = server.version(pipeline, version)
    values = typed(chosen.parameters, given)
    run_id, link = server.submit(chosen, name or f"{pipeline} {chosen.name}", experiment, values, service_account)
    screen.print(f"run {run_id}\n{link}", soft_wrap=True)
    if wait:
        state = server.wait(run_id, lambda task, now: screen.print(f"  {task:<24} {now.lower()}"), wait_limit or None)
        if state != "SUCCEEDED":
            raise SrsError("RUN_FAILED", f"the run ended as {state}", "The log of the failed step says why.")
        screen.print("the run succeeded")


@app.command()
def schedule(
    name: Annotated[str, typer.Argument(help="Name of the schedule; leave it out with --list.")] = "",
    cron: Annotated[str, typer.Option(help="When, in five fields (minute first) or KFP's six (second first).")] = "",
    every: Annotated[str, typer.Option(help="Interval in place of --cron, e.g. 12h or 7d.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="List all schedules.")] = False,
    enable: Annotated[bool, typer.Option("--enable", help="Resume the schedule.")] = False,
    disable: Annotated[bool, typer.Option("--disable", help="Pause the schedule.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the schedule; its runs stay.")] = False,
    host: HostOption = "",
    pipeline: PipelineOption = defaults.PIPELINE,
    version: VersionOption = "",
    param: ParamOption = None,
    experiment: ExperimentOption = defaults.EXPERIMENT,
    service_account: AccountOption = "",
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
    ca_file: CaOption = "",
) -> None:
    """Run a published version on a schedule, one run at a time; list, pause or delete schedules."""
    from pipelines.definitions.parameters import read_parameters, typed

    changes = [name for name, given in (("enable", enable), ("disable", disable), ("delete", delete)) if given]
    if len(changes) + list_ + bool(cron or every) != 1 or list_ == bool(name):
        hint = "For example: srs schedule NAME --cron '0 3 * * 1', or srs schedule --list."
        raise InputError(
            "SCHEDULE_UNCLEAR",
            "give one of --cron, --every, --enable, --disable, --delete and a name, or only --list",
            hint,
        )
    trigger = trigger_of(cron, every) if cron or every else {}
    given = read_parameters(param or [])
    server = _server(host, namespace, token_file, ca_file)
    if list_:
        screen.print(_schedules(server.schedules()))
    elif changes:
        server.change_schedule(name, changes[0])
        screen.print(f"{name}: {changes[0]}d")
    else:
        chosen = server.version(pipeline, version)
        values = typed(chosen.parameters, given)
        made = server.schedule(chosen, name, experiment, values, service_account, trigger)
        screen.print(
            f"{name}: version {chosen.name}, {cron or every}\n{server.link(f'recurringrun/details/{made}')}",
            soft_wrap=True,
        )


def trigger_of(cron: str, every: str) -> dict[str, Any]:
    """KFP's arguments for a cron expression or an interval; ``SCHEDULE_UNCLEAR`` for anything else."""
    fields = cron.split()
    if cron and not every and len(fields) in (5, 6) and all(re.fullmatch(r"[\w*?/,#-]+", field) for field in fields):
        return {"cron_expression": " ".join(["0", *fields][-6:])}
    interval = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", every)
    if interval and not cron:
        return {"interval_second": int(interval[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[interval[2]]}
    hint = "Examples: --cron '0 3 * * 1' (Mondays at 03:00 UTC), --every 12h."
    given = " and ".join(f"--{name} {shown(text)}" for name, text in (("cron", cron), ("every", every)) if text)
    raise InputError("SCHEDULE_UNCLEAR", f"the schedule's times cannot be read: {given}", hint)


def _schedules(schedules: list[Any]) -> Table:
    table = Table("name", "when", "state", "pipeline version")
    for one in schedules:
        trigger = one.trigger
        when = trigger.cron_schedule.cron if trigger.cron_schedule else f"{trigger.periodic_schedule.interval_second} s"
        version = one.pipeline_version_reference.pipeline_version_id if one.pipeline_version_reference else ""
        table.add_row(one.display_name, when, str(one.status or one.mode).lower(), version)
    return table


def _server(host: str, namespace: str, token_file: Path | None, ca_file: str) -> "Server":
    from pipelines.cluster.connection import Address
    from pipelines.cluster.server import Server

    if not host:
        raise InputError("KFP_HOST", "no KFP server was given", "Give --host https://... or set KF_PIPELINES_ENDPOINT.")
    if ca_file and not os.path.isfile(ca_file):  # noqa: PTH113 - unlike Path's, False for a name that no file can have
        message = f"the certificate authority's file {ca_file} does not exist"
        raise InputError("KFP_TLS", message, "Name another by --ca-file or KF_PIPELINES_SSL_CA_CERT.")
    return Server.open(Address(http_address(host, "--host"), namespace, read_token(token_file), ca_file))


def read_token(token_file: Path | None) -> str:
    """The token in the file, else in KF_PIPELINES_TOKEN, else "". No option takes it: other users see command lines."""
    try:
        return (token_file.read_text() if token_file else os.environ.get("KF_PIPELINES_TOKEN", "")).strip()
    except (OSError, UnicodeDecodeError):
        raise InputError("KFP_TOKEN", "the token file cannot be read", "Name another by --token-file.") from None
