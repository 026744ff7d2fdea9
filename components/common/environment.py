"""Names of environment variables that one program sets and another reads; in a Secret, each is its key too."""

#: Key of the patients' pseudonyms, and path of a file that holds it.
PSEUDONYM_KEY, PSEUDONYM_KEY_FILE = "SRS_PSEUDONYM_KEY", "SRS_PSEUDONYM_KEY_FILE"
#: PEM text of the key that bundles are signed with.
SIGNING_KEY = "SRS_SIGNING_KEY"
#: Processes that train members at the same time.
WORKERS = "SRS_WORKERS"
#: Address and credentials of the object store.
S3_ENDPOINT = "S3_ENDPOINT"
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
#: Keras' backend in a process that trains: ``tensorflow`` or ``jax``; everywhere else it is JAX, whatever Keras' own
#: variable says.
KERAS_BACKEND = "SRS_KERAS_BACKEND"
