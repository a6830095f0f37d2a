"""A file against the classes of its form: all its mistakes, and what is left of it without them.

Pydantic stops at the first layer of mistakes: a mapping with a wrong value is not asked what goes
together in it, and a file with a wrong value cannot be asked what it means. So what is wrong is
told and taken out, the rest is checked again until nothing is wrong with it, and what only follows
from something that was taken out is not told. What is left is for further checks, not for use.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from app.config.connection import UNFIT, Strict
from app.config.forms import example, form_at, found_at, keys_of, kind_at, nearest
from app.config.wording import expectation, seen
from app.yaml_source import At, Document

ROUNDS = 50
"""A file that still has mistakes after so many is not checked further."""
SHAPES = {
    "list_type": "list",
    "dict_type": "mapping",
    "model_type": "mapping",
    "model_attributes_type": "mapping",
}
"""Pydantic's types of errors for values that are of another shape."""
UNKNOWN = "extra_forbidden"
MISSING = "missing"

Model = TypeVar("Model", bound=BaseModel)


class Mistake(NamedTuple):
    """One of pydantic's errors; `at` is its path in the data."""

    at: At
    type: str
    text: str
    context: Mapping[str, Any]
    value: object
    branch: bool
    """Whether it is of one of several forms that a value may have."""


def fitted(
    document: Document, model: type[Model], page: str, data: object = None
) -> tuple[Model | None, list[str]]:
    """What is left of a file without its mistakes, if anything is, and the mistakes with lines.

    `page` of the documentation describes the form. `data` is what is checked instead of that of the
    document. The document remembers what was taken out (`Document.unsure`).
    """
    if not isinstance(document.data, dict):
        return None, [no_mapping(document, f"keys and their values; see {page}")]
    fitting = _Fitting(document, model, page, document.data if data is None else data)
    return fitting.fitted(), fitting.problems


def no_mapping(document: Document, expected: str) -> str:
    """What is wrong with a file of which not even the keys can be looked at."""
    document.broken.add(())
    is_list = isinstance(document.data, list)
    saw = "empty;" if document.data is None else f"saw {'a list' if is_list else 'one value'},"
    return document.problem(("file",), f"{saw} expected {expected}")


class _Fitting:
    def __init__(self, document: Document, model: type[Any], page: str, data: object) -> None:
        self.problems: list[str] = []
        self._document = document
        self._model = model
        self._page = page
        self._data = _apart(data)
        self._broken = document.broken
        self._gone: set[At] = set()
        """What is taken out in this round, as paths of the data."""

    def fitted(self) -> Any:
        for _ in range(ROUNDS):
            try:
                return self._model.model_validate(self._data, strict=False)
            except ValidationError as error:
                self._look_at(_mistakes(self._data, error))
            if () in self._gone:
                return None
            self._take_out()
        return None

    def _look_at(self, mistakes: list[Mistake]) -> None:
        self._gone = set()
        unknown = [each.at for each in mistakes if each.type == UNKNOWN]
        meant = {each.at: (*each.at[:-1], near) for each, near in self._meant(mistakes)}
        for each in mistakes:
            if each.type == MISSING and each.at in meant.values():
                continue
            if each.type == UNKNOWN:
                self._unknown(each.at, meant.get(each.at))
            elif each.type == MISSING:
                self._missing(each.at)
            elif each.type == UNFIT:
                self._unfit(each)
            else:
                self._wrong(each)
        for at in unknown:
            parent = found_at(self._data, at[:-1])
            if at not in meant:
                del parent[at[-1]]
                continue
            near = meant[at][-1]
            renamed = {near if key == at[-1] else key: each for key, each in parent.items()}
            self._document.renamed[self._document.written((*at[:-1], near))] = str(at[-1])
            parent.clear()
            parent.update(renamed)

    def _meant(self, mistakes: list[Mistake]) -> Iterator[tuple[Mistake, str]]:
        """Unknown keys with the known one that each is taken for."""
        taken: set[At] = set()
        for each in mistakes:
            if each.type == UNKNOWN:
                found = found_at(self._data, each.at[:-1])
                near = nearest(each.at[-1], self._known(each.at[:-1]))
                if near is not None and near not in found and (*each.at[:-1], near) not in taken:
                    taken.add((*each.at[:-1], near))
                    yield each, near

    def _known(self, at: At) -> list[str]:
        """The keys that a mapping may have."""
        model = form_at(self._model, self._data, at)
        return [] if model is None else keys_of(model)

    def _unknown(self, at: At, meant: At | None) -> None:
        near = nearest(at[-1], self._known(at[:-1])) if meant is None else str(meant[-1])
        hint = "see" if near is None else f"did you mean {near}? See"
        self._say(at, f"unknown key; {hint} {self._page} for the keys allowed here")

    def _missing(self, at: At) -> None:
        if self._new(at):
            self._say(at, "missing; this key is required")
        self._break(at)
        self._stand_in(at[:-1], [str(at[-1])])

    def _unfit(self, each: Mistake) -> None:
        """What does not go together, but for what is about a key that was taken out."""
        mapping = found_at(self._data, each.at)
        about: list[str] = []
        for text, keys in each.context["found"]:
            if all(self._new((*each.at, key)) for key in keys):
                about += keys
                given = [key for key in keys if key in mapping]
                place = (*each.at, given[0]) if given else each.at
                self._say(each.at, text, self._document.line(place))
        if about:
            self._stand_in(each.at, about)
        else:
            self._leave_out(each.at)

    def _stand_in(self, at: At, keys: list[str]) -> None:
        """A mapping goes on without these keys if that can be, or is left out."""
        model = form_at(self._model, self._data, at)
        stand_in = model.stand_in if model is not None and issubclass(model, Strict) else {}
        mapping = found_at(self._data, at)
        if not isinstance(mapping, dict) or not any(key in {**mapping, **stand_in} for key in keys):
            self._leave_out(at)
            return
        for key in keys:
            self._break((*at, key))
            mapping.pop(key, None)
        mapping |= {key: deepcopy(stand_in[key]) for key in keys if key in stand_in}

    def _wrong(self, each: Mistake) -> None:
        short = each.type == "too_short" and not self._new(each.at)
        if not short:
            text = each.text.replace("{page}", self._page)
            saw = seen(each.at, each.type, each.value)
            if each.type in SHAPES and not each.branch:
                shown = example(kind_at(self._model, self._data, each.at))
                if shown == "[…]" and saw and not isinstance(each.value, dict | None):
                    shown = f"[{each.value}]"
                text = f"expected a {SHAPES[each.type]}, such as {shown}"
            self._say(each.at, f"{saw}{text}")
            if each.at and each.value == each.at[-1]:  # a name, which others may spell rightly
                self._break((*each.at[:-1], str(each.value).lower()))
        self._leave_out(each.at)

    def _say(self, at: At, text: str, line: int | None = None) -> None:
        problem = self._document.problem(at, text, line)
        if problem not in self.problems:
            self.problems.append(problem)

    def _new(self, at: At) -> bool:
        return not self._document.unsure(at)

    def _break(self, at: At) -> None:
        self._broken.add(self._document.written(at))

    def _leave_out(self, at: At) -> None:
        self._gone.add(at)
        self._break(at)

    def _take_out(self) -> None:
        """From the end of lists on, so that the numbers before stay right."""
        places = [(at, self._document.written(at[:-1])) for at in self._gone]
        for at, parent_at in sorted(places, key=lambda each: _order(each[0]), reverse=True):
            parent, key = found_at(self._data, at[:-1]), at[-1]
            if isinstance(parent, list) and isinstance(key, int):
                left = self._document.kept.setdefault(parent_at, list(range(len(parent))))
                del parent[key], left[key]
            elif isinstance(parent, dict):
                parent.pop(key, None)


def _order(at: At) -> tuple[tuple[bool, int, str], ...]:
    return tuple(
        (isinstance(each, int), each if isinstance(each, int) else 0, str(each)) for each in at
    )


def _mistakes(data: object, error: ValidationError) -> list[Mistake]:
    """Pydantic's errors by their paths; those of several forms of one value are one."""
    found: dict[At, list[Mistake]] = {}
    for item in error.errors(include_url=False, include_input=False):
        at, branch = _path(data, item["loc"], item["type"])
        value = at[-1] if item["loc"][-1:] == ("[key]",) else found_at(data, at)
        context = item.get("ctx", {})
        text = expectation(item["type"], item["msg"], context, value)
        found.setdefault(at, []).append(Mistake(at, item["type"], text, context, value, branch))
    deeper = {at[:length] for at in found for length in range(len(at))}
    told = []
    for at, several in found.items():
        forms = all(each.branch for each in several)
        unfit = [each for each in several if each.type == UNFIT]
        if forms and at in deeper:
            continue  # it is of the form whose own mistakes are told
        if unfit or not forms:
            told += unfit or several
        else:
            texts = dict.fromkeys(each.text.removeprefix("expected ") for each in several)
            told.append(several[0]._replace(text=f"expected {' or '.join(texts)}"))
    return told


def _path(data: object, found: tuple[str | int, ...], type_: str) -> tuple[At, bool]:
    """Where a mistake is in the data: without pydantic's marks of keys, validators and forms; and
    whether the last mark is one of a form."""
    at: At = ()
    marked = False
    for number, part in enumerate(found):
        last = number == len(found) - 1
        inside = isinstance(data, dict) and part in data
        inside = inside or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        tag = isinstance(data, dict) and data.get("type") == part and not last and not marked
        if inside and not tag:
            at, data, marked = (*at, part), found_at(data, (part,)), False
        elif last and type_ == MISSING:
            at = (*at, part)
        elif part != "[key]" and not tag:
            marked = True
    return at, marked


def _apart(data: Any) -> Any:
    """A copy of which no part is there twice, as what YAML's aliases stand for is."""
    if isinstance(data, dict):
        return {key: _apart(each) for key, each in data.items()}
    return [_apart(each) for each in data] if isinstance(data, list) else data
