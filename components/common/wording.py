"""Words of messages and pages that depend on a number."""


def counted(count: int, what: str) -> str:
    """A number with its noun, which is plural unless there is one: ``1 tumour``, ``2 tumours``."""
    return f"{count} {what}{'' if count == 1 else 's'}"
