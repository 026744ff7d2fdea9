"""The KServe predictor.

The modules in the order in which a request passes them:

    connection  parser        HTTP connections with time limits; the limits of a message
    connection_limit          how many connections there may be
    rest  rpc  plane          the REST API, the gRPC service, and the model behind both
    limits  quotas            admission: what is accepted, and how capacity is divided among clients
    fair_queue                which waiting request is served next
    content  encodings        the format of a body, by its first bytes; forms, JSON and base64
    payload  tensors          bytes -> crops or DICOM studies: V1 with the types of both, V2
    cutting  dicom  choices   studies -> crops, by the code that cut the training crops; choices after a refusal
    predictor -> runtime      crops -> answers: the worker threads, the bundle
    reply  errors             answers and refusals -> bytes
    telemetry                 metrics and logs
    server  __main__          start and shutdown; the command line
"""
