"""What a mutation or a normalizer does to a text, by the name it has in YAML.

Each operation is built once from its setting, and raises SettingError if that cannot be meant. What
it gives is a function of one text alone, so rows with equal texts get equal results; null stands
for "does not fit": no match, not a number, no such element.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import polars as pl

from topology.moments import EARLIEST_MS, LATEST_MS

Change: TypeAlias = Callable[[pl.Expr], pl.Expr]
"""From a column of String to one value a row."""

ISO_8601: Final = "iso8601"
WITHOUT_ZONE: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
"""Of ISO 8601."""
YEARLY: Final = datetime(2026, 1, 27, 14, 12, 23, tzinfo=UTC)
EPOCH: Final = "epoch"
SECONDS_BELOW: Final = 100_000_000_000
"""A smaller number is seconds (until the year 5138), a greater one milliseconds (since 1973)."""
TRUE: Final = ("true", "yes", "1")
FALSE: Final = ("false", "no", "0")


class SettingError(ValueError):
    """What is wrong with an operation's setting, and what was expected."""


def _lower(_: Any, __: str) -> Change:
    return lambda text: text.str.to_lowercase()


def _upper(_: Any, __: str) -> Change:
    return lambda text: text.str.to_uppercase()


def _trim(characters: Any, _: str) -> Change:
    return lambda text: text.str.strip_chars(None if characters is True else characters)


def _append(addition: str, _: str) -> Change:
    return lambda text: text + pl.lit(addition)


def _prepend(addition: str, _: str) -> Change:
    return lambda text: pl.lit(addition) + text


def _substring(setting: Mapping[str, int], _: str) -> Change:
    start, length = setting["start"], setting.get("length")
    return lambda text: text.str.slice(start, length)


def _regexp(pattern: str, _: str) -> Change:
    groups = checked(pattern)
    return lambda text: text.str.extract(pattern, 1 if groups else 0)


def _replace(setting: Mapping[str, str], _: str) -> Change:
    replacement = setting["with"]
    if "pattern" in setting:
        pattern = setting["pattern"]
        checked(pattern)
        return lambda text: text.str.replace_all(pattern, replacement)
    literal = setting["text"]
    return lambda text: text.str.replace_all(literal, replacement, literal=True)


def _split(setting: Mapping[str, Any], _: str) -> Change:
    by, take = setting["by"], setting.get("take")
    if take is None:
        return lambda text: text.str.split(by)
    return lambda text: text.str.split(by).list.get(take, null_on_oob=True)


def _cast(kind: str, _: str) -> Change:
    if kind == "integer":
        return lambda text: text.str.strip_chars().cast(pl.Int64, strict=False)
    if kind == "number":
        return _number
    if kind == "text":
        return lambda text: text

    def boolean(text: pl.Expr) -> pl.Expr:
        word = text.str.strip_chars().str.to_lowercase()
        return pl.when(word.is_in(TRUE)).then(True).when(word.is_in(FALSE)).then(False)

    return boolean


def _number(text: pl.Expr) -> pl.Expr:
    """What JSON can have: neither infinite nor none."""
    number = text.str.strip_chars().cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _parse_time(forms: str | Sequence[str], zone: str) -> Change:
    """Milliseconds since the epoch; of several forms the first that fits."""
    changes = [_time_in(each, zone) for each in ([forms] if isinstance(forms, str) else forms)]
    return changes[0] if len(changes) == 1 else _first_of(changes)


def _first_of(changes: Sequence[Change]) -> Change:
    """Each is made of what the ones before did not fit, which usually is nothing."""

    def parse(texts: pl.Series) -> pl.Series:
        found = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(texts))
        left = texts.is_not_null().arg_true()
        for change in changes:
            if not len(left):
                break
            made = texts[left].to_frame("text").select(change(pl.col("text"))).to_series()
            found = found.scatter(left, made)
            left = left.filter(made.is_null())
        return found

    return lambda text: text.map_batches(parse, return_dtype=pl.Int64)


def _time_in(form: str, zone: str) -> Change:
    """A time without a zone is one of `zone`."""
    if form == EPOCH:
        return _epoch
    if form == ISO_8601:
        return _iso_8601(zone)
    try:
        probe = pl.select(pl.lit("x").str.strptime(pl.Datetime("ms"), form, strict=False))
    except pl.exceptions.PolarsError as error:
        raise SettingError(f"saw {form!r}, {_reason(error)}") from None
    if "%" not in form:
        raise SettingError(
            f"saw {form!r}, expected {ISO_8601}, {EPOCH} or a strftime format, such as "
            "'%Y-%m-%d %H:%M:%S %z'"
        )
    if _says_no_year(form):
        raise SettingError(
            f"saw {form!r}, expected a year in it; where times have none a template can put one "
            "before them"
        )
    zoned = getattr(probe.dtypes[0], "time_zone", None) is not None

    def parse(text: pl.Expr) -> pl.Expr:
        moment = text.str.strip_chars().str.strptime(pl.Datetime("ms"), form, strict=False)
        if not zoned:
            moment = moment.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        return moment.dt.epoch("ms")

    return parse


def _says_no_year(form: str) -> bool:
    """Whether times that are read so would be in the first year of the calendar."""
    moment = pl.lit(YEARLY, pl.Datetime("ms", "UTC"))
    try:
        read = moment.dt.to_string(form).str.strptime(pl.Datetime("ms"), form, strict=False)
        return bool(pl.select(read.dt.year() == 1).item())
    except pl.exceptions.PolarsError:
        return False


def _iso_8601(zone: str) -> Change:
    def tidy(text: pl.Expr) -> pl.Expr:
        text = text.str.strip_chars().str.replace(r"^([0-9-]{10})[ t]", "${1}T")
        return text.str.replace(r"(:[0-9]{2}),([0-9])", "${1}.${2}")

    def tidied(change: Change) -> Change:
        return lambda text: change(tidy(text))

    local = [_time_in(form, zone) for form in WITHOUT_ZONE]
    return _first_of([_rfc_3339, *map(tidied, (_rfc_3339, *local))])


def _rfc_3339(text: pl.Expr) -> pl.Expr:
    moment = text.str.strip_chars().str.strptime(pl.Datetime("ms"), "%+", strict=False)
    return moment.dt.epoch("ms")


def _epoch(text: pl.Expr) -> pl.Expr:
    number = _number(text)
    millis = pl.when(number.abs() < SECONDS_BELOW).then(number * 1000).otherwise(number).round()
    within = millis.is_between(EARLIEST_MS, LATEST_MS)
    return pl.when(within).then(millis).cast(pl.Int64, strict=False)


def checked(pattern: str) -> int:
    """The number of groups of a regular expression. Raises SettingError if it is none.

    It is matched in linear time, by the syntax of RE2 (no look-around, no back-references).
    """
    try:
        groups = pl.select(pl.lit("").str.extract_groups(pattern)).dtypes[0]
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.PolarsError as error:
        raise SettingError(f"saw {pattern!r}, {_reason(error)}") from None
    return len(groups.fields) if isinstance(groups, pl.Struct) else 0


def result(name: str, setting: Any, before: Any = pl.String) -> Any:
    """The type of what an operation gives; `before`: that of what it is given."""
    if name == "parse_time":
        return pl.Int64
    if name == "split":
        return pl.String if "take" in setting else pl.List(pl.String)
    if name == "cast":
        return {"integer": pl.Int64, "number": pl.Float64, "boolean": pl.Boolean}.get(
            setting, pl.String
        )
    return before


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())


OPERATIONS: Final[Mapping[str, Callable[[Any, str], Change]]] = {
    "lower": _lower,
    "upper": _upper,
    "trim": _trim,
    "append": _append,
    "prepend": _prepend,
    "substring": _substring,
    "regexp": _regexp,
    "replace": _replace,
    "split": _split,
    "cast": _cast,
    "parse_time": _parse_time,
}
"""Each takes its setting and the source's time zone."""
