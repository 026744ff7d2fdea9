"""Declares the parameters of pipeline runs once, and checks them before anything is sent to a cluster."""

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import pydantic

from components.common import defaults
from components.common.addresses import BUCKET, BUCKET_RULE
from components.common.artifacts.validation_metrics import Seen
from components.common.checked import Refusal, checked, fields, help_of, sentence, setting, validated
from components.common.errors import InputError
from components.common.field_types import Integer, Number, Text, Truth, matching, shown_name
from components.common.kubernetes_text import INT32, CpuLimit, LabelName, MemoryLimit, QualifiedName
from components.common.presets import ONE_PLACE, overrides_in, require_used_by_validation, resolve_parameters
from components.common.settings import StudySettings
from pipelines.definitions.json_parameters import JsonList, JsonObject, NodeSelector, Tolerations

PARAMETERS = Refusal(
    "the parameters of the run cannot be used:", invalid="PARAMETER_INVALID", unknown="PARAMETER_INVALID", hint=""
)
#: A folder or prefix that pods can reach; they see no folder of the machine that submits the run.
_LOCATION = rf"s3://{BUCKET}(/[^\0]*)?|/[^\0]*"
_LOCATION_RULE = f"an absolute path, on a cluster one that the pods mount, or s3://bucket/prefix with {BUCKET_RULE}"
Location = Annotated[Text, matching(_LOCATION, _LOCATION_RULE)]
LocationOrNone = Annotated[Text, matching(f"({_LOCATION})?", _LOCATION_RULE)]
#: Names that MLflow accepts, and its database stores. In a model's name it forbids ``/`` and ``:``, which separate the
#: parts of its addresses.
_NAME = r"(?=.*\S)[^\x00-\x1f\x7f]{1,256}"
ExperimentName = Annotated[Text, matching(_NAME, "the name of an experiment")]
ModelName = Annotated[Text, matching(rf"(?!\.\.?$)(?!.*[/:]){_NAME}", "the name of a model, without / and :")]
CohortName = Annotated[Text, matching(r"[^\x00-\x1f\x7f]{0,200}", "a name of at most 200 characters on one line")]
Count = Annotated[Text, matching("[0-9]{1,4}", "a number of GPUs")]


@checked(PARAMETERS)
class StudyParameters:
    """Parameters of the pipeline ``srs-response``, in its order."""

    cohort_uri: Location = setting(..., "cohort table (CSV), or the folder or s3:// prefix that holds cohort.csv")
    preset: Text = setting(
        "default",
        "named set of settings: default, paper (everything the paper states) or fast (small, to see that it runs)",
    )
    seed: Integer = setting(1, help_of(StudySettings, "seed"), 0, INT32)
    groups: Integer = setting(
        0, "number of ensembles, each with its own evaluation set; 0: the preset's number", 0, INT32
    )
    members: Integer = setting(0, "number of members (CNNs) of each ensemble; 0: the preset's number", 0, INT32)
    settings: Text = setting("{}", 'all other settings, a JSON object such as {"split": {"split_unit": "tumour"}}')
    members_per_task: Integer = setting(
        defaults.MEMBERS_PER_TASK, "number of members that one training task, on one GPU or the CPU, trains", 1, INT32
    )
    state_uri: LocationOrNone = setting(
        "",
        "folder that the pods mount, or s3:// prefix, where crops and trained members are stored for later runs; "
        "empty: they are not stored",
    )
    experiment: ExperimentName = setting(defaults.EXPERIMENT, "name of the MLflow experiment")
    model_name: ModelName = setting(defaults.MODEL, "name of the registered model in MLflow")
    deploy_to: Literal["none", "kserve"] = setting(
        "none", "where the champion is deployed: nowhere (none), or as an InferenceService (kserve)"
    )
    namespace: LabelName = setting(defaults.NAMESPACE, "Kubernetes namespace of the InferenceService")
    gpu_type: QualifiedName = setting(defaults.GPU_TYPE, "Kubernetes resource name of the GPUs")
    gpu_count: Count = setting("0", "number of GPUs of one training task; 0: it trains on the CPU")
    cpu: CpuLimit = setting("2", "CPU limit of one training task, such as 2 or 500m")
    memory: MemoryLimit = setting("4G", "memory limit of one training task, such as 4G")
    node_selector: NodeSelector = setting(
        {}, 'labels of the nodes on which members are trained, such as {"gpu": "a100"}; empty: any node'
    )
    tolerations: Tolerations = setting(
        [], 'taints that training pods tolerate, such as [{"key": "gpu", "operator": "Exists"}]; empty: none'
    )
    gather_memory: MemoryLimit = setting(
        "4G", "memory limit of evaluate and promote, which hold all members at once, such as 4G"
    )


@checked(PARAMETERS)
class PhantomParameters:
    """Parameters of the pipeline ``phantom``, in its order."""

    cohort_uri: Location = setting(..., "folder or s3:// prefix to which the synthetic cohort is written")
    seed: Integer = setting(1, "seed of the whole cohort: the same seed writes the same bytes", 0, INT32)
    tumours: Integer = setting(110, "number of eligible tumours; those that the study excludes come on top")
    patients: Integer = setting(89, "number of patients that have the eligible tumours")
    signal: Number = setting(1.0, "strength of the relation between a tumour's image and its response; 0: none")
    patient_effect: Number = setting(
        0.0, "how alike the tumours of a patient are in response and image, from 0 (not at all) to 1 (one response)"
    )
    centres: Integer = setting(1, "number of centres at which the patients were treated, from 1 to 9")
    centre_effect: Number = setting(
        0.0,
        "how much the centres differ in scanner and prevalence, and how far the last one's images lose their relation "
        "to the response, from 0 (not at all) over 0.5 (no relation) to 1 (the reverse relation)",
    )
    contrast_confounder: Number = setting(
        0.0,
        "how much more often non-responders were examined without contrast agent, from 0 (all patients got it) to 1 "
        "(85% of non-responders and 15% of responders did not)",
    )


@checked(PARAMETERS)
class ValidateParameters:
    """Parameters of the pipeline ``validate``, in its order."""

    cohort_uri: Location = setting(
        ..., "table (CSV) of the other cohort, or the folder or s3:// prefix that holds cohort.csv"
    )
    version: Text = setting("champion", "version of the registered model: its number, or an alias such as champion")
    name: CohortName = setting(
        "",
        "name of the cohort in the report and the registry; empty: the name of the study, or, where that is the "
        "model's too, the start of the dataset's digest",
    )
    seen: Seen = setting(
        "refuse",
        "what is done if the model has seen patients of the cohort: the validation is refused (refuse), or their "
        "tumours are left out (exclude)",
    )
    settings: Text = setting(
        "{}",
        "study, seed, preprocess and evaluate.bootstrap, a JSON object such as "
        '{"study": "elsewhere", "preprocess": {"slice_rule": "largest"}}; all other settings are the model\'s own',
    )
    state_uri: LocationOrNone = setting(
        "", "folder that the pods mount, or s3:// prefix, where crops are stored for later runs; empty: they are not"
    )
    experiment: ExperimentName = setting(defaults.EXPERIMENT, "name of the MLflow experiment")
    model_name: ModelName = setting(defaults.MODEL, "name of the registered model in MLflow")


#: The defaults; every run names its own cohort.
STUDY_DEFAULTS, PHANTOM_DEFAULTS = StudyParameters(cohort_uri="/"), PhantomParameters(cohort_uri="/")
VALIDATE_DEFAULTS = ValidateParameters(cohort_uri="/")


def docstring(summary: str, parameters: type[Any]) -> str:
    """The docstring from which KFP takes the parameters' descriptions."""
    lines = [f"    {name}: {sentence(field)}" for name, field in fields(parameters).items()]
    return "\n".join([summary, "", "Args:", *lines])


def read_parameters(flags: Iterable[str]) -> dict[str, str]:
    """Flags ``name=value`` as a mapping; ``PARAMETER_INVALID`` if one has another form."""
    pairs = [flag.partition("=") for flag in flags]
    names = [name.strip() for name, _, _ in pairs]
    wrong = [
        f"{shown_name(name)}: not of the form name=value" for name, equals, _ in pairs if not equals or not name.strip()
    ]
    wrong += [f"{name}: given more than once" for name in dict.fromkeys(names) if names.count(name) > 1]
    if wrong:
        raise InputError.collected("PARAMETER_INVALID", "--param:", wrong, "For example: --param seed=2")
    return {name.strip(): value for name, _, value in pairs}


def typed(declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> dict[str, Any]:
    """The given values, in the types that a published pipeline declares (possibly one of another release).

    Parameters
    ----------
    declared
        ``root.inputDefinitions.parameters`` of the pipeline's specification.
    given
        Values as text.

    Raises
    ------
    InputError
        ``PARAMETER_INVALID`` naming every parameter that is unknown, missing or invalid; then the errors of
        ``require_used_by_validation`` for the pipeline ``validate``, and of ``resolve_parameters``.
    """
    refusal = dataclasses.replace(PARAMETERS, hint=f"Parameters: {', '.join(sorted(declared))}.")
    read = validated(_class_of(declared), given, refusal)
    values = {name: getattr(read, name) for name in sorted(given)}
    if "settings" in declared:
        study: dict[str, Any] = {name: parameter.get("defaultValue") for name, parameter in declared.items()} | values
        without = {"preset": "default", "seed": 1, "groups": 0, "members": 0}  # of the pipeline validate
        preset, *numbers = (study.get(name, value) for name, value in without.items())
        seed, groups, members = map(int, numbers)
        if not without.keys() & declared.keys():
            require_used_by_validation(overrides_in(study["settings"]))
        resolved = resolve_parameters(preset, seed, groups, members, study["settings"])
        if "seed" in values and resolved.seed != seed:  # the default, but given
            message = f"seed: the parameter is {seed}, settings says {resolved.seed}"
            raise InputError("SETTING_INVALID", message, ONE_PLACE)
    return values


#: KFP's parameter types, and the types that their texts are parsed as.
_KINDS: dict[str, Any] = {
    "STRING": Text,
    "NUMBER_INTEGER": Integer,
    "NUMBER_DOUBLE": Number,
    "BOOLEAN": Truth,
    "LIST": JsonList,
    "STRUCT": JsonObject,
}
_KFP_NAMES = {str: "STRING", Literal: "STRING", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", bool: "BOOLEAN"}
_KFP_NAMES |= {list: "LIST", dict: "STRUCT"}


def _class_of(declared: Mapping[str, Mapping[str, Any]]) -> type[Any]:
    """A class with the declared parameters; those that this release declares alike get its checks and help texts."""
    ours = {**fields(PhantomParameters), **fields(ValidateParameters), **fields(StudyParameters)}
    hints: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for name, parameter in sorted(declared.items()):
        rule, kind, text = ours.get(name), _KINDS[parameter["parameterType"]], ""
        if rule and _KFP_NAMES[typing.get_origin(rule.annotation) or rule.annotation] == parameter["parameterType"]:
            kind, text = Annotated[(rule.annotation, pydantic.Field(), *rule.metadata)], rule.description or ""
        hints[name], defaults[name] = kind, setting(None if parameter.get("isOptional") else ..., text)
    return checked(PARAMETERS)(type("Parameters", (), {"__annotations__": hints, **defaults}))
