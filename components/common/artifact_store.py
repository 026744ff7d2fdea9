"""Time-outs and exception types of boto3, by which MLflow reads and writes ``s3://`` artifacts."""

import functools

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from components.common.store import timeouts

#: Exceptions of boto3 for a bucket that denies access, does not exist or does not respond.
ARTIFACT_ERRORS = (Boto3Error, BotoCoreError, ClientError)


@functools.cache
def bound_artifact_store() -> None:
    """Sets time-outs for all boto3 clients of this process; by default a silent server blocks a step for 30 minutes."""
    session = botocore.session.get_session()
    limits = Config(
        connect_timeout=timeouts.CONNECT_SECONDS,
        read_timeout=timeouts.READ_SECONDS,
        retries={"total_max_attempts": timeouts.TRIES, "mode": "standard"},
    )
    session.set_default_client_config(limits)
    boto3.setup_default_session(botocore_session=session)
