"""Writes docs/configuration.md from the classes of northbound.yaml, so that it cannot be stale.

`python -m app.config.reference > docs/configuration.md`; a test compares the two.
"""

import ast
import inspect
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.config.connection import Strict
from app.config.fields import duration, duration_text, octets, size, size_text
from app.config.model import Config

HEAD = """\
# northbound.yaml

One file is the desired state: `northbound up`, `worker`, `ingest` and every command read it.
Unknown keys are mistakes.
Durations are numbers with ms, s, m, h or d (30s, 1h30m).
Sizes are numbers with B, KiB, MiB, GiB, TiB, or KB, MB, GB, TB (10MiB).
All mistakes, those in tenants.d, dictionaries, normalizers and rules too, are told at once with
file, line, key, what was seen and what was expected, and nothing starts.
`northbound check` looks for them alone.
Paths are relative to the file.
Secrets stand in files or environment variables, never in this file.
With `NORTHBOUND_BOOTSTRAP` in the environment `kafka.embedded` is set aside and that cluster used.
Each `tenants.d/<name>.yaml` beside it adds one tenant.
This page is written from the code (`python -m app.config.reference`).
"""


def reference() -> str:
    """The page, as Markdown."""
    parts = [HEAD]
    _section(Config, "northbound.yaml", parts, set())
    return "\n".join(parts)


def _section(model: type[BaseModel], path: str, parts: list[str], seen: set[str]) -> None:
    lines = [f"## {path}", "", (model.__doc__ or "").strip(), ""]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    inner: list[tuple[type[BaseModel], str]] = []
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        key = field.alias or name
        at = key if path == "northbound.yaml" else f"{path}.{key}"
        text = " ".join(meanings.get(name, "").split()).replace("|", "\\|")
        lines.append(f"| `{key}` | {_type(field)} | {_default(field)} | {text} |")
        for found, suffix in _models(_annotation(field)):
            inner.append((found, at + suffix))
    parts.append("\n".join(lines) + "\n")
    for found, at in inner:
        if at not in seen:
            seen.add(at)
            _section(found, at, parts, seen)


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field. Pydantic could keep them, and would read the source of every
    class at each start of a command for it."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if kind is not Strict and issubclass(kind, Strict):
            [body] = ast.parse(dedent(inspect.getsource(kind))).body
            assert isinstance(body, ast.ClassDef)  # noqa: S101  # it is the source of a class
            for field, text in pairwise(body.body):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    name, value = ast.unparse(field.target), ast.literal_eval(text.value)
                    found[name] = str(value)
    return found


def _annotation(field: FieldInfo) -> Any:
    """Pydantic takes the mark of a union's kinds off the type of a field."""
    return Annotated[field.annotation, field] if field.discriminator else field.annotation


def _models(annotation: Any) -> list[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return [(annotation, "")]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if (tag := getattr(inner[1], "discriminator", None)) is None:
            return _models(inner[0])
        found = [model for model, _ in _models(inner[0])]
        tags = [get_args(model.model_fields[tag].annotation)[0] for model in found]
        return [(model, f" with {tag}: {name}") for model, name in zip(found, tags, strict=True)]
    if origin is list:
        return [(found, f"[]{suffix}") for found, suffix in _models(inner[0])]
    if origin is dict:
        return [(found, ".<name>") for found, _ in _models(inner[1])]
    if origin in {Union, UnionType}:
        return [item for part in inner for item in _models(part)]
    return []


def _type(field: FieldInfo) -> str:
    return (_unit(field.metadata) or _name(field.annotation)).replace("|", "\\|")


def _unit(metadata: Iterable[Any]) -> str | None:
    """What a number with a unit is."""
    units = {duration: "duration", size: "size", octets: "bytes or size"}
    return next((units[item.func] for item in metadata if _checks(item) in units), None)


def _checks(item: Any) -> Any:
    return getattr(item, "func", None)


def _name(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(f"`{value}`" for value in inner)
    if origin in {Union, UnionType}:
        return " | ".join(dict.fromkeys(_name(part) for part in inner if part is not type(None)))
    if origin is list:
        return f"list of {_name(inner[0])}"
    if origin is dict:
        return f"name to {_name(inner[1])}"
    if hasattr(annotation, "__metadata__"):
        return _unit(annotation.__metadata__) or _name(inner[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    names: dict[Any, str] = {
        str: "text",
        int: "number",
        float: "number",
        bool: "true or false",
        Path: "path",
        Any: "anything",
    }
    return names[annotation]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None or isinstance(value, BaseModel):
        return ""
    written = {"duration": duration_text, "size": size_text}.get(_unit(field.metadata) or "")
    if written is not None:
        return f"`{written(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | dict):
        return f"`{value}`" if value else ""
    return f"`{value}`" if value != "" else '`""`'


if __name__ == "__main__":
    sys.stdout.write(reference())
