"""MLflow's way to ``s3://`` artifacts, which is boto3: time limits that MLflow sets none of, and boto3's own errors."""

import functools

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from components.common.store import timeouts

#: What boto3 raises where a bucket refuses, is missing, or does not answer.
ARTIFACT_ERRORS = (Boto3Error, BotoCoreError, ClientError)


@functools.cache
def bound_artifact_store() -> None:
    """Gives boto3's clients of this process limits: without, a silent server holds a step for half an hour."""
    session = botocore.session.get_session()
    limits = Config(
        connect_timeout=timeouts.CONNECT_SECONDS,
        read_timeout=timeouts.READ_SECONDS,
        retries={"total_max_attempts": timeouts.TRIES, "mode": "standard"},
    )
    session.set_default_client_config(limits)
    boto3.setup_default_session(botocore_session=session)
