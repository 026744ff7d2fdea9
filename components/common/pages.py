"""A page for people in place of an API's answer: what a proxy with a login sends to a program."""


def is_page(reply: bytes | str) -> bool:
    """Whether a reply is HTML (or XML), which no API of ours answers with."""
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return text.lstrip("\ufeff \t\r\n").startswith("<")
