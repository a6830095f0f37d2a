"""The classes that a file's form is made of: which one a path leads to, and what its keys are."""

from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.yaml_source import At

SHOWN = 3
"""Keys of a mapping that an example shows where none is needed."""
CLOSE = 0.75
"""How alike a key and a known one have to be, of 1."""


def nearest(key: object, known: list[str]) -> str | None:
    """The known name that a misspelt one is most like."""
    plain = {each.replace("_", ""): each for each in known}
    spelt = str(key).lower().replace("_", "").replace("-", "")
    same = [each for each in plain if sorted(each) == sorted(spelt)]
    found = same or get_close_matches(spelt, plain, n=1, cutoff=CLOSE)
    return plain[found[0]] if found else None


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """What a mapping may have, by its keys as files have them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys that a mapping may have."""
    return list(fields_of(model))


def found_at(data: Any, at: At) -> Any:
    """What is at a path of the data; None where nothing is."""
    for part in at:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def form_at(model: type[Any], data: Any, at: At) -> type[BaseModel] | None:
    """The class of the mapping at a path of the data."""
    return _chosen(kind_at(model, data, at), found_at(data, at))


def kind_at(model: type[Any], data: Any, at: At) -> Any:
    """The type of what is at a path of the data."""
    kind: Any = model
    for number, part in enumerate(at):
        here = _chosen(kind, found_at(data, at[:number]))
        if here is not None:
            fields = fields_of(here)
            kind = fields[str(part)].annotation if str(part) in fields else None
        else:
            inner = [each for each in _parts(kind) if get_origin(each) in {list, dict}]
            kind = get_args(inner[0])[-1] if inner else None
    return kind


def example(kind: Any) -> str:
    """What a value of a type may look like, with the keys that a mapping needs, or the first."""
    for part in _parts(kind):
        if isinstance(part, type) and issubclass(part, BaseModel):
            fields = fields_of(part)
            needed = [key for key, each in fields.items() if each.is_required()]
            return f"{{{', '.join(f'{key}: …' for key in needed or list(fields)[:SHOWN])}}}"
        if get_origin(part) is list:
            return f"[{example(get_args(part)[0])}]"
        if get_origin(part) is dict:
            return f"{{name: {example(get_args(part)[1])}}}"
    return "…"


def _parts(kind: Any) -> list[Any]:
    """The types that a value may have."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _parts(get_args(kind)[0])
    if origin in {Union, UnionType}:
        return [each for part in get_args(kind) for each in _parts(part)]
    return [kind]


def _chosen(kind: Any, value: Any) -> type[BaseModel] | None:
    """The class of a mapping, by its `type` if there are several."""
    found = [
        each for each in _parts(kind) if isinstance(each, type) and issubclass(each, BaseModel)
    ]
    if len(found) > 1 and isinstance(value, dict):
        tagged = {
            get_args(each.model_fields["type"].annotation)[0]: each
            for each in found
            if "type" in each.model_fields
        }
        return tagged.get(value.get("type"))
    return found[0] if found else None
