"""Every bound on what comes from outside, in one place; ``docs/limits.md`` is the same table for people.

What is beyond a bound is refused while it is read, before memory or time is spent on it, and the error names the bound.
"""

MIB = 2**20

# --- HTTP and connections -------------------------------------------------------------------------------------------

#: Of a request's line and headers, of a chunk's line, and of the trailers; far above what any proxy adds.
HEAD_BYTES = 64 * 1024
#: Seconds in which a head must come, from the connection's or the head's first byte; the least of this and of a body's.
HEAD_SECONDS = 20.0
#: Chunks that a body may have whatever its size, and bytes that each further one must bring: one takes 10 us to read.
CHUNKS, CHUNK_BYTES = 4096, 1024
#: Of a zip and of a body with binary tensors, and of any other body or gRPC message, which take several times as much.
BINARY_BODY_BYTES, JSON_BODY_BYTES = 64 * MIB, 16 * MIB
#: Seconds in which a body must come, and in which the rest of a refused one is thrown away.
BODY_SECONDS = 60.0
#: While a body comes, each time it must bring so many bytes in so many seconds: a slow line of 26 kbit/s still does.
PACE_BYTES, PACE_SECONDS = 64 * 1024, 20.0
#: Seconds without ``PACE_BYTES`` after which a body, and for gRPC a message, makes way for another when all is taken.
PATIENCE_SECONDS = 0.5
#: Seconds in which a caller must read some of an answer that waits for it.
READ_SECONDS = 20.0
#: Open at once, where the process may have as many descriptors: some for each of the requests accepted.
CONNECTIONS = 512
#: Accepted in one turn of the event loop; twice as many hold a descriptor before as many are closed in their favour.
ACCEPTS = 32
#: Connections that wait to be accepted.
BACKLOG = 2048
#: Kept for files and for gRPC's own ends, beside those of connections and those being accepted.
DESCRIPTORS_KEPT = 48
#: Requests accepted and not answered yet: some seconds' work.
REQUESTS = 64
#: Bytes of bodies held at once, in largest bodies.
BODIES = 4
#: A client may hold this times what is free of a thing that is shared: alone 8 of 9, and never the last.
SHARE_ALPHA = 8
#: A body from this size waits for a worker in another lane than its sender's small ones.
LARGE_BODY_BYTES = MIB
#: Seconds without a finished request, although there is work, after which the process says that it is not alive.
STUCK_SECONDS = 120.0

# --- gRPC -----------------------------------------------------------------------------------------------------------

#: Inference messages, and messages that ask for a model's facts, received at once; gRPC keeps their pieces for a while.
INFER_MESSAGES, FACTS_MESSAGES = 8, 4
#: Calls that wait to be received; the one that has waited longest makes way.
WAITING_CALLS = 128
#: Of a message that is not asked for yet; more stays with its sender.
UNASKED_BYTES = 256 * 1024
#: Of a call's metadata.
METADATA_BYTES = 16 * 1024
#: Of a refusal, which travels as metadata: callers take 8 kB of them by default. Longer lists are left out.
DETAILS_BYTES = 4096
#: Connections at once; where descriptors are few, a quarter of them.
GRPC_CONNECTIONS = 128
#: Seconds for a connection's first words, and without a call after which it is closed.
HANDSHAKE_SECONDS, GRPC_IDLE_SECONDS = 10.0, 60.0
#: Seconds for a message that asks for a model's facts.
FACTS_SECONDS = 10.0

# --- JSON, forms and tensors ----------------------------------------------------------------------------------------

# --- zip ------------------------------------------------------------------------------------------------------------

# --- DICOM ----------------------------------------------------------------------------------------------------------

# --- pixels and contained work --------------------------------------------------------------------------------------

# --- bundles --------------------------------------------------------------------------------------------------------
