"""What a new user writes: units as people write them, keys that are nearly right, wrong shapes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from app.config import examined
from app.config.fields import address, brokers, duration, heap, size
from app.config.forms import keys_of, nearest
from app.config.model import Config

ROOT = Path(__file__).parents[2]
BASE = """\
version: 1
kafka: {embedded: {}}
sources: {q: {format: qumulo}}
listeners: [{protocol: tcp, listen: 127.0.0.1:5514, source: q}]
tenants: {acme: {sources: [q]}}
"""
AWAY = ("there is nothing at", "expected one of the sources", "expected one of the tenants")
"""What examples name that is not in the files of their page."""


def read(folder: Path, text: str) -> tuple[Config, list[str]]:
    """What is left of a configuration, and what is wrong with it, without the file's name."""
    path = folder / "northbound.yaml"
    path.write_text(text, encoding="utf-8")
    config, problems = examined(path)
    assert config is not None
    return config, [each.removeprefix(f"{path}:") for each in problems]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("100ms", 100),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("7d", 604_800_000),
        ("1h30m", 5_400_000),
        ("1 h 30 m", 5_400_000),
        ("0.5s", 500),
        ("0s", 0),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    """One number or several, each with its unit."""
    assert duration(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-1s", "30 sec", "1w", "1h30", "0.0001s", 30, None]
)
def test_what_is_no_duration(text: object) -> None:
    """A number alone could be anything; the message shows how it is written."""
    with pytest.raises(ValueError, match="expected a"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("0B", 0),
        ("512KiB", 512 << 10),
        ("10MiB", 10 << 20),
        ("1.5 GiB", 3 << 29),
        ("10mib", 10 << 20),
        ("5MB", 5_000_000),
        ("5kB", 5_000),
    ],
)
def test_sizes(text: str, octets: int) -> None:
    """Binary and decimal units; nobody means another one by small letters."""
    assert size(text) == octets


@pytest.mark.parametrize("text", ["", "10", "10M", "10iB", "0.3B", "MiB", 10, None])
def test_what_is_no_size(text: object) -> None:
    """10M is one or the other."""
    with pytest.raises(ValueError, match="expected a"):
        size(text)


def test_units_are_the_same_everywhere(tmp_path: Path) -> None:
    """Bytes that were numbers take sizes, too; the heap does as well."""
    text = BASE.replace("source: q}", "source: q, max_line: 64KiB, spool: 1GB}")
    text = text.replace("embedded: {}", "embedded: {heap: 2GiB}")
    text = text.replace("sources: [q]", "sources: [q], quota: {bytes_per_second: 10MiB}")
    config, problems = read(tmp_path, text)
    assert problems == []
    assert (config.listeners[0].max_line, config.listeners[0].spool) == (65_536, 1_000_000_000)
    assert config.tenants["acme"].quota.bytes_per_second == 10 << 20
    assert config.kafka.embedded is not None
    assert config.kafka.embedded.heap == heap("2g") == heap("2 G") == "2g"
    config, problems = read(tmp_path, text.replace("64KiB", "65536").replace("10MiB", "10485760"))
    assert problems == []
    assert config.listeners[0].max_line == 65_536
    _, problems = read(tmp_path, text.replace("64KiB", "3MiB"))
    assert problems == ["4: listeners[0].max_line: saw '3MiB', expected 2000000B at most"]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("qumulo}", "qumulo, retention: 0s}", "sources.q.retention: saw '0s', expected more than"),
        ("qumulo}", "qumulo, tick: 0s}", "sources.q.tick: saw '0s', expected more than 0s"),
        ("qumulo}", "qumulo, alert_on: low}", "saw 'low', expected a list, such as [low]"),
        ("qumulo}", "qumulo, options: [a]}", "saw a list, expected a mapping, such as {name: …}"),
        ("qumulo}", "qumulo, options: {a: 5}}", "saw 5, expected text; put it in quotes: '5'"),
        ("qumulo}", "qumulo, partitions: many}", "saw 'many', expected a whole number, such as 4"),
        ("qumulo}", "qumulo, key: peers}", "saw 'peers', expected one of 'peer' or 'spread'"),
        ("127.0.0.1:5514", "127.0.0.999:5514", "saw '127.0.0.999:5514', expected host:port"),
        ("[q]}", "[q], raw_data: maybe}", "saw 'maybe', expected true or false"),
        ("{acme: {sources: [q]}}", "[acme]", "saw a list, expected a mapping, such as {name: {so"),
        ("[{protocol", "{x: {protocol", "such as [{protocol: …, listen: …, source: …}]"),
        ("embedded: {}", "external: {bootstrap: k}", "saw 'k', expected host:port, or several"),
        ("sources: [q]", "sources: []", "expected at least 1 item"),
    ],
)
def test_wrong_values(tmp_path: Path, before: str, after: str, told: str) -> None:
    """What was seen, and an example of what was expected."""
    assert before in BASE
    text = BASE.replace(before, after, 1)
    _, problems = read(
        tmp_path, text.replace("source: q}]", "source: q}}") if "{x:" in text else text
    )
    (problem,) = problems
    assert told in problem


def test_addresses_of_brokers() -> None:
    """Several with commas, with a protocol if one likes; always with a port."""
    for text in ("k:9092", "k-1:9092, k-2:9092", "SASL_SSL://k:9092", "[::1]:9092"):
        assert brokers(text) == text
    for text in ("k", "k:0", "", "k:9092,", "http://k:9092"):
        with pytest.raises(ValueError, match="expected host:port"):
            brokers(text)
    assert address("10.0.0.1:5514") == "10.0.0.1:5514"


def models(kind: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """All classes of northbound.yaml."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind not in seen:
            seen.add(kind)
            yield kind
            for field in kind.model_fields.values():
                yield from models(field.annotation, seen)
        return
    for part in get_args(kind):
        yield from models(part, seen)


def test_every_key_is_offered_for_its_misspellings() -> None:
    """A letter left out, one too many, two exchanged, and - for _: the key is what is meant, in
    every mapping that there is."""
    missed = []
    for model in models(Config, set()):
        keys = keys_of(model)
        for key in (each for each in keys if len(each) > 4):
            spellings = {
                key[:2] + key[3:],
                f"{key}s",
                key[:-2] + key[-1] + key[-2],
                key.replace("_", "-"),
                key.upper(),
            }
            missed += [
                (model.__name__, key, spelt, found)
                for spelt in spellings - set(keys)
                if (found := nearest(spelt, keys)) != key
            ]
    assert not missed


def test_what_is_like_nothing_is_offered_nothing() -> None:
    """A wrong hint is worse than none."""
    assert nearest("states", ["tags", "start", "rules", "tries"]) is None
    assert nearest("surprise", keys_of(Config)) is None


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{each.name}" for each in sorted((ROOT / "docs").glob("*.md")))]
)
def test_examples_are_right(tmp_path: Path, page: str) -> None:
    """What a page shows of northbound.yaml can be copied: there is no key and no value in it that
    is refused."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        found = next(iter(yaml.safe_load_all(block)))
        keys = set(found) if isinstance(found, dict) else set()
        if not keys or not keys <= set(keys_of(Config)) or isinstance(found.get("lists"), list):
            continue  # a rule, a normalizer, a test, or a part of one
        base = yaml.safe_load(BASE)
        if not {"embedded", "external"} & set(found.get("kafka", {})):
            found["kafka"] = {**base["kafka"], **found.get("kafka", {})}
        merged = {**base, **found}
        _, problems = read(tmp_path, yaml.safe_dump(merged, sort_keys=False))
        assert [each for each in problems if not any(text in each for text in AWAY)] == []
