"""Numbers with a noun that agrees with them."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 tumour", "2 tumours", "0 tumours"; ``plural`` where it is not the noun and an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
