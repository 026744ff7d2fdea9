"""The KServe predictor.

The way of a request, each stop a module:

    connection  rest  rpc     sockets: HTTP whose callers are not waited for, the REST addresses, the gRPC service
    limits  shares            what is let in, how much at once, and who goes next
    content  encodings        what a body is, told from its bytes; forms, JSON and base64
    payload  tensors          bytes -> crops or DICOM studies: V1 with the types of both, V2
    dicom  offer              studies -> crops, by the code that cut the training crops; what there is to choose from
    predictor -> runtime      crops -> answers: the worker threads, the bundle
    reply  errors             answers and refusals -> bytes
    telemetry                 what operators see of all that
    server  __main__          starts it, ends it, and reads the command line

The runtime would report its use over the network: it is told not to, before it loads.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
