"""The container image that runs the pipeline's steps on a cluster."""

import os

#: Read when a pipeline is compiled; ``srs compile --image`` sets it. Local runs use the current Python instead.
PIPELINE_IMAGE = os.environ.get("SRS_PIPELINE_IMAGE", "srs-response-pipeline:0.1.0")
