"""Names of tags that stand on MLflow runs and model versions alike, or that one module writes and another reads."""

GROUP = "srs.group"
DATASET_DIGEST, SPLIT_DIGEST = "srs.dataset_digest", "srs.split_digest"
SYNTHETIC = "srs.synthetic"
#: Of a group's version, the version of the ensemble of all groups of the same run.
STUDY_VERSION = "srs.study_version"
#: A version's promotion told in one paragraph.
STORY = "srs.story"
#: Reasons of the gate's verdict, one a line.
REASONS = "srs.reasons"
