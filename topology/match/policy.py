"""How pySigma reads rules: regular expressions are checked as those are that match (regex.py), and
modifiers have all the names that the specification gives them."""

from typing import TYPE_CHECKING, Final

from sigma.modifiers import SigmaWideModifier, modifier_mapping
from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import RE2RegexEngine

from topology.match.regex import FLAGS, compiled

if TYPE_CHECKING:
    import re2

modifier_mapping.setdefault("utf16le", SigmaWideModifier)
"""Sigma 2.1, appendix "Modifiers", section "Encoding": `wide` is an alias of `utf16le`."""


class QuietEngine(RE2RegexEngine):  # type: ignore[misc]
    """pySigma's RE2, which checks rules; its complaints come as errors, not on standard error."""

    def compile(self, pattern: str, flags: int = 0) -> "re2._Regexp":
        prefix = "".join(sign for flag, sign in FLAGS.items() if int(flags) & flag)
        return compiled(f"(?{prefix}){pattern}" if prefix else pattern)

    def __deepcopy__(self, memo: dict[int, object]) -> "QuietEngine":
        """Filters copy rules with the engine that checked them, which holds a module."""
        return self


POLICY: Final = SigmaPolicy(regex_engine=QuietEngine())
