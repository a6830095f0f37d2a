"""What ends a session of a copy, and nothing else."""


class CopyError(Exception):
    """This session cannot go on; the next one begins with what was committed."""
