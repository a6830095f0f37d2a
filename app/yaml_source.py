"""YAML with line numbers: every key and value of a file can be found again for an error message."""

from pathlib import Path
from typing import Any

import yaml


class SourceError(ValueError):
    """One or more problems, each a line `file:line: key: problem`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Document:
    """One parsed YAML file: plain data in `data`, and the line of each path in it."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines: dict[tuple[str | int, ...], int] = {}
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
        if node is not None:
            self._index(node, (), problems)
        if problems:
            raise SourceError(problems)

    def _index(self, node: yaml.Node, at: tuple[str | int, ...], problems: list[str]) -> None:
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
                self._lines[inner] = key.start_mark.line + 1
                self._index(value, inner, problems)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._index(value, (*at, number), problems)

    def line(self, at: tuple[str | int, ...]) -> int:
        """Line of a path, or of the nearest parent that the file has."""
        while at and at not in self._lines:
            at = at[:-1]
        return self._lines.get(at, 1)

    def problem(self, at: tuple[str | int, ...], text: str) -> str:
        """`file:line: key: text`."""
        return f"{self.path}:{self.line(at)}: {dotted(at) or 'file'}: {text}"


def dotted(at: tuple[str | int, ...]) -> str:
    """`("listeners", 0, "listen")` as `listeners[0].listen`."""
    out = ""
    for part in at:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def read(path: Path) -> Document:
    """Read and parse a file. Raises SourceError when it cannot be read or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SourceError([f"{path}: no such file; expected a YAML file here"]) from None
    except UnicodeDecodeError as error:
        raise SourceError([f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"]) from None
    except OSError as error:
        raise SourceError([f"{path}: cannot be read: {error.strerror}"]) from None
    return Document(path, text)
