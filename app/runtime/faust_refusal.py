"""What Faust's interfaces have and this transport does not."""

from faust.exceptions import ImproperlyConfigured


def refused(what: str, why: str) -> ImproperlyConfigured:
    """The error for `what`, with the reason or what to do instead."""
    return ImproperlyConfigured(f"{what} is not available with the northbound transport: {why}.")
