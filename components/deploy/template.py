"""The platform engineer's template of the InferenceService, validated with all problems named at once."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Self

import pydantic
from kubernetes.utils.quantity import parse_quantity

from components.common.checked import Conflicts, Refusal, checked, setting, validated
from components.common.field_types import Text, matching
from components.common.kubernetes_text import (
    Amount,
    HostName,
    LabelValue,
    ObjectName,
    ObjectNameOrNone,
    QualifiedName,
)

TEMPLATE = Refusal(
    "the InferenceService template cannot be used:",
    invalid="TEMPLATE_INVALID",
    unknown="TEMPLATE_UNKNOWN",
    hint="Correct it in the ConfigMap of infra/, and submit the run again: what it finished is reused from state_uri.",
)
Word = Annotated[Text, matching(r"(?s).*\S.*", "a text with anything but spaces")]
#: YAML has numbers, so text is not converted.
Whole = pydantic.StrictInt
Amounts = Mapping[QualifiedName, Amount]


@checked(TEMPLATE)
class Resources:
    """Resource requests and limits of the predictor's container."""

    requests: Amounts = setting({}, 'amounts that Kubernetes reserves, such as {cpu: "2", memory: 2Gi}')
    limits: Amounts = setting({}, 'most that the container may use, such as {cpu: "2", memory: 2Gi}')

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        above = [
            f"requests.{name} is {amount}, which is above limits.{name} ({self.limits[name]})"
            for name, amount in self.requests.items()
            if name in self.limits and parse_quantity(amount) > parse_quantity(self.limits[name])
        ]
        if above:
            raise Conflicts(*above)
        return self


@checked(TEMPLATE)
class Template:
    """The settings in the template ConfigMap; everything else comes from the model version."""

    name: HostName = setting("srs-response", "name of the InferenceService")
    runtime: ObjectName = setting("srs-response", "name of this project's ServingRuntime")
    model_format: Word = setting("srs-response", "model format that the ServingRuntime declares")
    service_account: ObjectNameOrNone = setting(
        "", "service account that gives KServe's storage initialiser its access to the bucket; empty: the default one"
    )
    min_replicas: Whole = setting(1, "smallest number of predictor pods; 0 lets KServe stop them all", 0)
    max_replicas: Whole = setting(1, "largest number of predictor pods", 1)
    resources: Resources = dataclasses.field(default_factory=Resources)
    labels: Mapping[QualifiedName, LabelValue] = setting(
        {}, 'labels of the InferenceService; write a value that is no text in quotes, e.g. "true"'
    )
    annotations: Mapping[QualifiedName, Text] = setting(
        {},
        "annotations of the InferenceService, such as serving.kserve.io/deploymentMode; write a value that is no text "
        'in quotes, e.g. "true"',
    )
    canary_percent: Whole = setting(
        0,
        "share of the traffic, in percent, that a new version gets until it has answered its golden case; 0: all of it "
        "at once",
        0,
        99,
    )
    gateway_api: pydantic.StrictBool = setting(
        False, "whether KServe routes by the Gateway API; in Standard mode nothing else can share traffic"
    )

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise Conflicts(f"min_replicas is {self.min_replicas}, which is above max_replicas ({self.max_replicas})")
        return self

    @classmethod
    def from_mapping(cls, values: Mapping[Any, Any]) -> Self:
        """A template from parsed YAML; a key without a value keeps its default.

        Raises
        ------
        InputError
            ``TEMPLATE_UNKNOWN`` where a key is not known, else ``TEMPLATE_INVALID`` where a value is not allowed;
            either names all problems.
        """
        return validated(cls, {key: value for key, value in values.items() if value is not None}, TEMPLATE)
