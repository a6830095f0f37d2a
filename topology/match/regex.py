"""Regular expressions: RE2, which runs in linear time whatever the pattern and the text."""

from functools import cache

import re2
from sigma.policy.regex_engine import RE2RegexEngine

FLAGS = {2: "i", 8: "m", 16: "s"}
"""Python's re flags and how RE2 spells them in a pattern."""


@cache
def compiled(pattern: str) -> "re2._Regexp":
    """The pattern, compiled. Raises re2.error for what RE2 does not take."""
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    return re2.compile(pattern, options)


class QuietEngine(RE2RegexEngine):  # type: ignore[misc]
    """pySigma's RE2, which checks rules; its complaints come as errors, not on standard error."""

    def compile(self, pattern: str, flags: int = 0) -> "re2._Regexp":
        prefix = "".join(sign for flag, sign in FLAGS.items() if int(flags) & flag)
        return compiled(f"(?{prefix}){pattern}" if prefix else pattern)
