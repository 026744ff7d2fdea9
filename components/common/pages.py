"""The content security policy of HTML pages that we write and serve, and a test whether a reply is a page."""

#: Policy of a written page: it shows itself and its own images, but loads nothing, sends nothing and runs no script, so
#: that text of a cohort or of a server that was not escaped remains harmless.
PAGE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
#: The policy as an element of a page; it must precede everything to which it applies.
POLICY_TAG = f'<meta http-equiv="Content-Security-Policy" content="{PAGE_POLICY}">'
#: Headers of every reply of our servers: a browser that opens one runs nothing and does not guess its type.
REPLY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def is_page(reply: bytes | str) -> bool:
    """Whether a reply is HTML (or XML), which none of the APIs used here returns."""
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return text.lstrip("\ufeff \t\r\n").startswith("<")
