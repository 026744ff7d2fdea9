"""The KServe predictor. Its runtime would report its use over the network: it is told not to, before it loads."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
