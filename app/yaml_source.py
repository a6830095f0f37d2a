"""YAML with line numbers: every key and value of a file can be found again for an error message."""

from pathlib import Path
from typing import Any, TypeAlias

import yaml

At: TypeAlias = tuple[str | int, ...]
"""Keys and numbers that lead to something in a file."""


class SourceError(ValueError):
    """One or more problems, each a line `file:line: key: problem`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Document:
    """One parsed YAML file: plain data in `data`, and the line of each path in it.

    Data may be checked of which mistakes were taken out (app/config/shape.py). Paths in such data
    are told as the file has them, by `renamed` (misspelt keys, by what they were taken for) and
    `kept` (the numbers of a list's items that are left); `broken` are the paths of mistakes.
    """

    def __init__(self, path: Path, text: str, repeated: list[str] | None = None) -> None:
        """Raises SourceError for what is not YAML, and for keys that are given twice unless there
        is a list for those."""
        self.path = path
        self.renamed: dict[At, str] = {}
        self.kept: dict[At, list[int]] = {}
        self.broken: set[At] = set()
        self._lines: dict[At, int] = {}
        problems: list[str] = []
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise SourceError([f"{path}:{line}: not YAML: {error.problem}"]) from None
        except (yaml.YAMLError, ValueError) as error:
            raise SourceError([f"{path}:1: not YAML: {error}"]) from None
        try:
            if node is not None:
                self._index(node, (), problems)
        except RecursionError:
            raise SourceError([f"{path}:1: not YAML: an alias stands in what it is for"]) from None
        if repeated is not None:
            repeated += problems
        elif problems:
            raise SourceError(problems)

    def _index(self, node: yaml.Node, at: At, problems: list[str]) -> None:
        self._lines.setdefault(at, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*at, key.value)
                if inner in self._lines:
                    line = key.start_mark.line + 1
                    problems.append(
                        f"{self.path}:{line}: {dotted(inner)}: given twice, first in line "
                        f"{self._lines[inner]}; keep one"
                    )
                    self._lines = {
                        each: line
                        for each, line in self._lines.items()
                        if each[: len(inner)] != inner
                    }
                self._lines[inner] = key.start_mark.line + 1
                self._index(value, inner, problems)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._index(value, (*at, number), problems)

    def written(self, at: At) -> At:
        """A path of the data as the file has it."""
        found: At = ()
        for part in at:
            own = part
            if isinstance(part, int):
                numbers = self.kept.get(found, ())
                own = numbers[part] if part < len(numbers) else part
            found = (*found, self.renamed.get((*found, part), own))
        return found

    def unsure(self, at: At) -> bool:
        """Whether a mistake was taken out there, above it or below it."""
        own = self.written(at)
        return any(own[: len(each)] == each[: len(own)] for each in self.broken)

    def line(self, at: At) -> int:
        """Line of a path, or of the nearest parent that the file has."""
        at = self.written(at)
        while at and at not in self._lines:
            at = at[:-1]
        return self._lines.get(at, 1)

    def problem(self, at: At, text: str, line: int | None = None) -> str:
        """`file:line: key: text`; the line is that of the key unless given."""
        where = dotted(self.written(at)) or "file"
        return f"{self.path}:{line or self.line(at)}: {where}: {text}"


def dotted(at: At) -> str:
    """`("listeners", 0, "listen")` as `listeners[0].listen`."""
    out = ""
    for part in at:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def read(path: Path, repeated: list[str] | None = None) -> Document:
    """Read and parse a file. Raises SourceError when it cannot be read or is not YAML, and as
    Document does for keys that are given twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SourceError([f"{path}: no such file; expected a YAML file here"]) from None
    except UnicodeDecodeError as error:
        raise SourceError([f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"]) from None
    except OSError as error:
        raise SourceError([f"{path}: cannot be read: {error.strerror}"]) from None
    return Document(path, text, repeated)
