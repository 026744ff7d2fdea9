"""Options that are fixed when a pipeline is compiled; they have no effect on a local run."""

from typing import Annotated

from components.common.checked import Refusal, checked, setting
from components.common.field_types import Integer, Text, matching
from components.common.image import PIPELINE_IMAGE
from components.common.kubernetes_text import INT32, MemoryLimitOrNone, ObjectName, ObjectNameOrNone

#: Pause before a failed training pod is first restarted; each later pause is twice as long, up to an hour.
BACKOFF, BACKOFF_FACTOR = "30s", 2.0
#: Mount point of a claim that holds the member store: ``state_uri`` is then this folder or one below it.
STATE_FOLDER = "/state"
OPTIONS = Refusal(
    "the compile options cannot be used:",
    invalid="COMPILE_OPTION_INVALID",
    unknown="COMPILE_OPTION_INVALID",
    hint="`srs compile --help` lists all options.",
)


@checked(OPTIONS)
class Compiled:
    """Options that are fixed when a pipeline is compiled; ``str`` lists them for the pipeline's description."""

    image: Annotated[Text, matching(r"\S+", "the name of an image, without spaces")] = setting(
        PIPELINE_IMAGE, "container image of every step"
    )
    parallelism: Integer = setting(
        0, "largest number of training pods that run at the same time; 0: no limit", 0, INT32
    )
    retries: Integer = setting(
        2, "how often a training pod that failed is started again; KFP never restarts one that was deleted", 0, INT32
    )
    timeout_seconds: Integer = setting(0, "time limit of one training pod, seconds; 0: no limit", 0, INT32)
    shared_memory: MemoryLimitOrNone = setting(
        "", "size of /dev/shm in a training pod, such as 2Gi; empty: the node's default of 64 MiB"
    )
    state_claim: ObjectNameOrNone = setting(
        "",
        f"PersistentVolumeClaim (ReadWriteMany) mounted at {STATE_FOLDER} of the preprocessing and training pods; "
        "empty: none",
    )
    config_map: ObjectName = setting(
        "srs-response", "ConfigMap with the addresses of MLflow and of the object store; a missing key is left out"
    )
    s3_secret: ObjectName = setting("srs-response-s3", "Secret with the object store's credentials")
    pseudonym_secret: ObjectName = setting(
        "srs-response-pseudonym", "Secret with SRS_PSEUDONYM_KEY, the key of the patients' pseudonyms"
    )
    signing_secret: ObjectNameOrNone = setting(
        "", "Secret with SRS_SIGNING_KEY, the key that promoted bundles are signed with; empty: they are not signed"
    )
    run_as_user: Integer = setting(10001, "numeric user id of every pod; never 0, which is root", 1, INT32)

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
