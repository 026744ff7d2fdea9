"""The only door to KServe, whose import reads the command line of whatever process it is in.

``kserve/__init__.py`` imports its model server, which parses ``sys.argv`` at once for options of its own, abbreviated
ones too: ``pytest --co`` would end there, as ``--configure_logging`` without a value.
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
