"""How large and how slow a body may be."""

import dataclasses

from components.common.errors import InputError

MIB = 2**20


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request.

    Parameters
    ----------
    binary_bytes
        Of a body with binary tensors, of a zip, and of a gRPC message.
    json_bytes
        Of any other body: JSON takes several times its size in memory.
    seconds
        In which a body must come.
    """

    binary_bytes: int = 64 * MIB
    json_bytes: int = 16 * MIB
    seconds: float = 60.0

    def of(self, content_type: str, binary_header: bool) -> int:
        """The limit in bytes of a body with these headers."""
        kind = content_type.partition(";")[0].strip().lower()
        return self.binary_bytes if binary_header or kind.endswith(("zip", "zip-compressed")) else self.json_bytes

    @staticmethod
    def too_large(most: int) -> InputError:
        """``BODY_TOO_LARGE``, naming the limit."""
        hint = "JSON has a smaller limit than binary tensors (V2) and a zip as the body."
        return InputError("BODY_TOO_LARGE", f"the body may have at most {most / MIB:g} MiB", hint)
