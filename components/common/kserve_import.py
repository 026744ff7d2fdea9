"""The only module that imports KServe, since that import parses the command line of the importing process.

``kserve/__init__.py`` imports its model server, which immediately parses ``sys.argv`` for its own options, including
abbreviations: ``pytest --co`` would fail, read as ``--configure_logging`` without a value.
"""

import sys

_arguments, sys.argv = sys.argv, sys.argv[:1]
try:
    import kserve
    from kserve import Model, ModelRepository
    from kserve.errors import ModelNotFound
    from kserve.protocol.dataplane import DataPlane
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as pb_grpc
finally:
    sys.argv = _arguments

__all__ = ["DataPlane", "Model", "ModelNotFound", "ModelRepository", "kserve", "pb", "pb_grpc"]
