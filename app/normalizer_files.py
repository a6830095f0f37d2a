"""Files of normalizers become definitions, all their mistakes at once with file and line.

Docs: docs/normalizers.md.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import polars as pl
from pydantic import Field

from app.attribute_types import wrong_type
from app.config import ConfigError, in_file_order
from app.config.connection import UNREADABLE, Strict, Unfit
from app.config.fields import Name
from app.config.forms import nearest
from app.config.shape import fitted
from app.config.stages import Operations
from app.yaml_source import Document, SourceError, dotted, read
from schemas import ocsf
from schemas.targets import unwritable
from topology.definition import DTYPES, Case, Constant, Definition, Further, Value
from topology.filters import NO_FILTERS, Filter, FilterErrors, Filters
from topology.formats import SOURCE_FORMATS
from topology.normalize.normalizer import Normalizer
from topology.operations import OPERATIONS, SettingError, result
from topology.parse import FORMATS
from topology.parse.parsed import Option
from topology.rules import LogSource
from topology.templates import TemplateError, Text, pieces

PAGE = "docs/normalizers.md"
Detection = dict[str, Any]
At = tuple[str | int, ...]
NUMBER = re.compile("[0-9]{1,9}")
LAST = ("split", "cast", "parse_time")
"""Operations that may give something else than a text; nothing can follow them."""
CLASSES = {name: number for number, name in ocsf.CLASS_NAMES.items()}
FOLLOWING = ("class_uid", "class_name", "category_uid", "category_name", "type_uid", "type_name")
"""Attributes that a case has by its class."""


class Source(Operations):
    """Where an attribute's value comes from, and what is done to it, in the order of the page."""

    field: str | list[str] | None = None
    template: str | None = None
    lookup: Annotated[dict[str, Constant], Field(min_length=1)] | None = None
    default: Constant | None = None

    def unfit(self) -> Iterator[Unfit]:
        """Two origins, or none, and what cannot follow another."""
        if (self.field is None) == (self.template is None):
            yield "expected either field or template", ("field", "template")
        last = [name for name, _ in self.operations if name in LAST]
        if len(last) > 1 or (last and self.lookup):
            text = "expected one of split, cast, parse_time and lookup at most"
            yield text, (*LAST, "lookup")


class Then(Strict):
    """A field that is parsed further, the first of several that a line has."""

    field: str | list[str]
    format: str
    options: dict[str, str] = Field(default_factory=dict)
    when: Detection | None = None


class Event(Strict):
    """Events of one kind."""

    stand_in = MappingProxyType({"class": "0", "set": {}})

    class_: Annotated[str | int, Field(alias="class")]
    when: Detection | None = None
    set: dict[str, Constant | Source]


class Product(Strict):
    """Whose events they are."""

    name: str
    vendor: str | None = None


class Rules(Strict):
    """The log source that rules name (Sigma)."""

    product: str | None = None
    service: str | None = None
    category: str | None = None


class NormalizerFile(Strict):
    """One normalizer."""

    stand_in = MappingProxyType(
        {
            "name": UNREADABLE,
            "version": UNREADABLE,
            "product": {"name": UNREADABLE},
            "format": "plain",
            "events": [],
        }
    )

    name: Name
    version: str
    product: Product
    logsource: Rules | None = None
    format: str
    options: dict[str, str] = Field(default_factory=dict)
    then: list[Then] = Field(default_factory=list)
    events: list[Event]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A definition, and how the lines are read that it is for."""

    normalizer: Normalizer
    format: str
    options: Mapping[str, str]
    logsource: LogSource | None


def load_normalizer(path: Path, zone: str) -> Loaded:
    """Read a definition; times without a zone are of `zone`. Raises ConfigError."""
    problems: list[str] = []
    try:
        document = read(path, problems)
    except SourceError as error:
        raise ConfigError(error.problems) from None
    file, found = fitted(document, NormalizerFile, PAGE)
    problems += found
    loaded = None if file is None else _Compiler(document, zone, problems).loaded(file)
    if problems or loaded is None:
        raise ConfigError(in_file_order(problems))
    return loaded


class _Compiler:
    """Adds what is wrong to `problems`."""

    def __init__(self, document: Document, zone: str, problems: list[str]) -> None:
        self._document = document
        self._zone = zone
        self._problems = problems
        self._conditions: list[Detection] = []
        self._places: list[At] = []
        self._dtypes: dict[str, tuple[Any, int]] = {}

    def loaded(self, file: NormalizerFile) -> Loaded:
        if file.format not in SOURCE_FORMATS:
            self._say(("format",), f"saw {file.format!r}, expected one of {_known(SOURCE_FORMATS)}")
        else:
            self._options((), file.format, SOURCE_FORMATS[file.format].options, file.options)
        further = [self._further(number, each) for number, each in enumerate(file.then)]
        cases = [self._case(number, each) for number, each in enumerate(file.events)]
        conditions = self._compiled(self._conditions, self._places)
        definition = Definition(
            file.name,
            file.version,
            file.product.name,
            file.product.vendor,
            [each for each in further if each],
            [each for each in cases if each],
            conditions,
        )
        given = file.logsource
        logsource = LogSource(given.product, given.service, given.category) if given else None
        return Loaded(definition.normalizer, file.format, file.options, logsource)

    def _say(self, at: At, text: str) -> None:
        if not self._document.unsure(at):
            self._problems.append(self._document.problem(at, text))

    def _condition(self, at: At, when: Detection | None) -> int | None:
        if when is None:
            return None
        self._conditions.append(when)
        self._places.append((*at, "when"))
        return len(self._conditions) - 1

    def _compiled(self, conditions: Sequence[Detection], places: Sequence[At]) -> Filters:
        named = enumerate(conditions)
        try:
            return Filters([Filter(str(each), keep=True, detection=found) for each, found in named])
        except FilterErrors as error:
            for number, key, text in error.problems:
                first, _, rest = key.partition(".")
                self._say((*places[number], *filter(None, (first, rest))), text)
            return NO_FILTERS

    def _further(self, number: int, then: Then) -> Further | None:
        at = ("then", number)
        parser = FORMATS.get(then.format)
        if parser is None:
            self._say((*at, "format"), f"saw {then.format!r}, expected one of {_known(FORMATS)}")
            return None
        self._options(at, then.format, parser.options, then.options)
        fields = (then.field,) if isinstance(then.field, str) else tuple(then.field)
        when = [] if then.when is None else [then.when]
        options = {"timezone": self._zone, **then.options}
        return Further(fields, parser, options, self._compiled(when, [(*at, "when")]))

    def _options(
        self, at: At, form: str, known: Mapping[str, Option], given: Mapping[str, str]
    ) -> None:
        for key, value in given.items():
            option = known.get(key)
            if option is None:
                near = nearest(key, list(known))
                hint = "" if near is None else f"; did you mean {near}?"
                text = f"unknown option; expected one of {_known(known)}{hint}"
                self._say((*at, "options", key), text)
            elif (expected := option.expected(value)) is not None:
                self._say((*at, "options", key), f"saw {value!r}, expected {expected}")
        for key, option in known.items():
            if option.required and key not in given:
                self._say((*at, "options"), f"format {form} needs {key}: {option.meaning}")

    def _case(self, number: int, event: Event) -> Case | None:
        at = ("events", number)
        written = str(event.class_)
        uid = int(written) if NUMBER.fullmatch(written) else CLASSES.get(written, -1)
        if uid not in ocsf.CLASS_NAMES:
            known = ", ".join(f"{name} ({number})" for name, number in CLASSES.items())
            self._say((*at, "class"), f"saw {event.class_!r}, expected one of {known}")
            return None
        values = {name: self._value((*at, "set", name), each) for name, each in event.set.items()}
        for name, value in values.items():
            if problem := self._misfit(name, value, number, values):
                self._say((*at, "set", name), problem)
        return Case(uid, values, self._condition(at, event.when))

    def _misfit(
        self, name: str, value: Value, number: int, others: Mapping[str, Value]
    ) -> str | None:
        """What is wrong with an attribute of a case."""
        if name in FOLLOWING:
            return "follows from class and activity_id by itself; leave it out"
        if (why := unwritable(name)) is not None:
            return f"saw {name!r}, {why}"
        if inner := next((other for other in others if other.startswith(f"{name}.")), None):
            return f"is a value here, and an object with {inner}; expected one of the two"
        first, where = self._dtypes.setdefault(name, (value.dtype, number))
        if first != value.dtype:
            place = dotted(self._document.written(("events", where)))
            return f"is {value.dtype} here and {first} in {place}; expected one type"
        return wrong_type(name, value.dtype)

    def _value(self, at: At, given: Constant | Source) -> Value:
        if not isinstance(given, Source):
            return Value(DTYPES[type(given)], constant=given)
        changes = []
        dtype: Any = pl.String
        for name, setting in given.operations:
            try:
                changes.append(OPERATIONS[name](setting, self._zone))
            except SettingError as error:
                self._say((*at, name), str(error))
            dtype = result(name, setting, dtype)
        if given.lookup is not None:
            kinds = {type(value) for value in given.lookup.values()}
            if len(kinds) > 1:
                self._say((*at, "lookup"), "values of several types; expected one type")
            dtype = DTYPES[kinds.pop()]
        if given.default is not None and DTYPES[type(given.default)] != dtype:
            self._say((*at, "default"), f"saw {given.default!r}, expected a value of type {dtype}")
        fields = [given.field] if isinstance(given.field, str) else given.field or []
        return Value(
            dtype,
            fields=tuple(fields),
            template=self._template((*at, "template"), given.template),
            changes=tuple(changes),
            lookup=given.lookup,
            default=given.default,
        )

    def _template(self, at: At, written: str | None) -> tuple[tuple[str, str], ...]:
        """A template as (text, field) one after the other; the last field is empty."""
        parts: list[tuple[str, str]] = []
        before = ""
        try:
            for piece in pieces(written or ""):
                if isinstance(piece, Text):
                    before += piece.text
                else:
                    parts.append((before, piece.field))
                    before = ""
        except TemplateError as error:
            self._say(at, str(error))
        return () if written is None else (*parts, (before, ""))


def _known(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "none"
