"""Names, addresses and numbers that apply where a user gives none, and that several programs share.

The YAML files of infra/ hold some of them too; their tests compare the two.
"""

#: Pipeline of a study, its MLflow and KFP experiment, its registered model, and the InferenceService's namespace.
PIPELINE = "srs-response"
EXPERIMENT = "srs-response"
MODEL = "srs-response"
NAMESPACE = "srs-response"
#: Address and HTTP port of the predictor on this machine.
HOST, HTTP_PORT = "127.0.0.1", 8080
#: Kubernetes resource name of the GPUs.
GPU_TYPE = "nvidia.com/gpu"
#: Members that one training task trains.
MEMBERS_PER_TASK = 25
#: Name of the table in a cohort's folder.
COHORT_TABLE = "cohort.csv"
