"""What Prometheus sees: latency, queue, refusals, scores, and drift of the inputs from training. No identity."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

LATENCY = Histogram("srs_request_seconds", "Time from the whole body to the reply", ["protocol"], buckets=SECONDS)
REQUESTS = Counter("srs_requests", "Requests answered or refused", ["protocol", "status", "code"])
IN_FLIGHT = Gauge("srs_requests_in_flight", "Requests accepted and not answered yet")
BYTES_HELD = Gauge("srs_body_bytes_held", "Bytes of bodies being read or worked on")
SCORES = Histogram("srs_score", "Primary score of the tumours answered", buckets=[tenth / 10 for tenth in range(1, 10)])
TUMOURS = Counter("srs_tumours", "Tumours answered", ["label"])
WARNINGS = Counter("srs_warnings", "Warnings given with answers", ["code"])
CROP_MEAN = Histogram("srs_crop_mean_hu", "Mean HU of the crops", buckets=[-500, -200, -50, 0, 20, 40, 60, 100, 200])
READY = Gauge("srs_ready", "1 while new requests are welcome")
MODEL = Gauge(
    "srs_model", "Always 1; the labels say what is served", ["version", "bundle_digest", "group", "synthetic"]
)
