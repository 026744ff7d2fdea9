"""Time-outs and retries of the clients of S3 servers: the stores' client, and MLflow's (``artifact_store``)."""

#: Seconds to reach the server, and to wait for its next bytes.
CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
#: Tries of one request, and of an object whose connection breaks during the transfer.
TRIES = 4
#: The first pause between two tries, s; each further one is twice as long.
PAUSE_SECONDS = 0.2
