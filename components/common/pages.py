"""Pages for people: the policy of those that we write and serve, and how to know one in place of an API's answer."""

#: What a written page may do: show itself and its own pictures. It loads nothing, sends nothing and runs no script, so
#: that text of a cohort or of a server that slipped through the escaping stays text.
PAGE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
#: The policy's place in a page: in front of all that it holds for.
POLICY_TAG = f'<meta http-equiv="Content-Security-Policy" content="{PAGE_POLICY}">'
#: Headers of every reply of a server of ours: a browser that is shown one runs nothing and takes it for what it is.
REPLY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def is_page(reply: bytes | str) -> bool:
    """Whether a reply is HTML (or XML), which no API of ours answers with."""
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return text.lstrip("\ufeff \t\r\n").startswith("<")
