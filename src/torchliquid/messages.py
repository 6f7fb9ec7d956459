"""How values are written in messages to users."""


def escape_control(text: str) -> str:
    """The text with its control characters written out: they could steer a terminal, or end XML."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short_repr(value: object) -> str:
    """A value for a message: its repr in one line, but never a page of it."""
    try:
        text = repr(value)
    except Exception:  # a message about a bad argument must not fail because of it
        text = f"a {type(value).__name__}"
    text = escape_control(" ".join(text.split()))
    return text if len(text) <= 60 else text[:57] + "..."


def plural(amount: int, noun: str) -> str:
    """An amount and its noun.

    >>> plural(1, "lane"), plural(24, "lane")
    ('1 lane', '24 lanes')
    """
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")
