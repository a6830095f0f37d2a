"""YAML texts as documents that know on which line each key is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file, as `path:line: key: text`."""

    path: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.path}:{self.line}: {key}{self.text}"


class RuleErrors(ValueError):  # noqa: N818  # it is several
    """Everything that is wrong with a set of rules; nothing of it was loaded."""

    def __init__(self, problems: list[Problem]) -> None:
        ordered = sorted(problems, key=lambda problem: (problem.path, problem.line))
        self.found: list[Problem] = list(dict.fromkeys(ordered))
        self.problems: list[str] = list(dict.fromkeys(str(problem) for problem in ordered))
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its content as a mapping, and where its keys are."""

    path: str
    content: dict[str, Any]
    node: yaml.MappingNode

    @property
    def line(self) -> int:
        """Line of its first key, from 1."""
        return int(self.node.start_mark.line) + 1

    def line_of(self, *keys: str) -> int:
        """Line of the innermost key of this path that exists; "0" is a list's first item."""
        node: yaml.Node | None = self.node
        line = self.line
        for key in keys:
            found = _entry(node, key)
            if found is None:
                break
            line = int(found[0].start_mark.line) + 1
            node = found[1]
        return line

    def problem(self, text: str, *keys: str) -> Problem:
        """A problem at a key."""
        return Problem(self.path, self.line_of(*keys), ".".join(keys), text)


def _entry(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        # Of a key that is given twice YAML takes the last.
        for name, value in reversed(node.value):
            if name.value == key:
                return name, value
    elif isinstance(node, yaml.SequenceNode) and key.isdecimal() and int(key) < len(node.value):
        item = node.value[int(key)]
        return item, item
    return None


def read_documents(path: str, text: str, problems: list[Problem]) -> Iterator[Document]:
    """The mappings of a YAML text; what is wrong with it is added to `problems`."""
    loader = None
    try:
        loader = Loader(text)
        while loader.check_node():
            node = loader.get_node()
            content = loader.construct_document(node)
            if content is None:
                continue
            if not isinstance(node, yaml.MappingNode):
                line = node.start_mark.line + 1
                problems.append(Problem(path, line, "", "expected a mapping of keys to values"))
                continue
            problems += _repeated(path, node)
            yield Document(path, content, node)
    except yaml.reader.ReaderError as error:
        line = text.encode().count(b"\n", 0, error.position) + 1
        problems.append(Problem(path, line, "", f"is not YAML: {error.reason}"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        text = " ".join(part for part in (error.problem, error.context) if part)
        problems.append(Problem(path, mark.line + 1 if mark else 1, "", f"is not YAML: {text}"))
    except (ValueError, RecursionError) as error:
        problems.append(Problem(path, 1, "", f"is not YAML: {error}"))
    finally:
        if loader is not None:
            loader.dispose()


def _repeated(path: str, node: yaml.MappingNode) -> Iterator[Problem]:
    """Keys that a mapping has twice, of which YAML would silently drop one."""
    open_nodes: list[yaml.Node] = [node]
    visited: set[int] = set()
    while open_nodes:
        current = open_nodes.pop()
        if id(current) in visited:
            continue
        visited.add(id(current))
        if isinstance(current, yaml.SequenceNode):
            open_nodes += current.value
        elif isinstance(current, yaml.MappingNode):
            seen: set[str] = set()
            for name, value in current.value:
                if isinstance(name.value, str) and name.value in seen:
                    line = name.start_mark.line + 1
                    yield Problem(path, line, name.value, "is given twice in the same mapping")
                seen.add(str(name.value))
                open_nodes.append(value)
