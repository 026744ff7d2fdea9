"""Valid and invalid requests that schemathesis derives from the OpenAPI document get documented answers."""

import copy
import os
from collections import Counter

import hypothesis
import numpy as np
import pytest
import schemathesis
from schemathesis import GenerationMode

from tests.components.model.bundles import draw_crops
from tests.serving.documented import DOCUMENT, undocumented

#: Requests to each address.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "500"))
SETTINGS = {"deadline": None, "database": None, "suppress_health_check": list(hypothesis.HealthCheck)}


def to_generate_from():
    """The document with the model that is served, and one crop for all: 22,801 numbers are too many to generate."""
    document = copy.deepcopy(DOCUMENT)
    schemas = document["components"]["schemas"]
    crop = draw_crops(1, np.random.default_rng(0))[0].round(1).tolist()
    values = [value for row in crop for value in row]
    schemas["Crop"] = {"enum": [crop]}
    schemas["CropTensor"] = {"enum": [{"name": "crop_hu", "datatype": "FP32", "shape": [1, 151, 151], "data": values}]}
    schemas["V1Request"]["properties"]["instances"]["maxItems"] = 3
    schemas["Instance"]["anyOf"][3]["properties"]["dicom_files"]["maxItems"] = 3
    for parameter in (one for item in document["paths"].values() for one in item.get("parameters", ())):
        parameter["schema"] = {"enum": [{"model": "srs-response", "version": "7"}[parameter["name"]]]}
    return document


FOUND = [found.ok() for found in schemathesis.openapi.from_dict(to_generate_from()).get_all_operations()]
CASES = [(one, GenerationMode.POSITIVE) for one in FOUND]
CASES += [(one, GenerationMode.NEGATIVE) for one in FOUND if one.method == "post"]


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "mode"), CASES, ids=[f"{one.label} {mode.value}" for one, mode in CASES])
def test_answers_are_as_documented(server, operation, mode):
    statuses = Counter()

    @hypothesis.seed(int(os.environ.get("FUZZ_SEED", "1")))
    @hypothesis.settings(max_examples=EXAMPLES, **SETTINGS)
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        reply = case.call(base_url=f"http://127.0.0.1:{server.http_port}")
        headers = {name: values[0] for name, values in reply.headers.items()}
        assert undocumented(case.method, case.formatted_path, reply.status_code, headers, reply.content) == ""
        statuses[reply.status_code] += 1

    ask()
    print(f"{operation.label}, {mode.value}: {dict(statuses)}")
    assert statuses
