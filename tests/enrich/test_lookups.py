"""Dictionary files: three forms, and every mistake with its file and line."""

import hashlib
from pathlib import Path

import orjson
import polars as pl
import pytest

from app.lookups import LookupErrors, load_dictionary

EVENTS = pl.DataFrame({"src_endpoint.ip": ["10.0.0.1", "10.0.0.2", "10.0.0.3"]})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'ip,owner\n10.0.0.1,eng\n10.0.0.2,"a, ""b"""\n'),
        ("a.CSV", '\ufeffip,owner\r\n10.0.0.1,eng\r\n\r\n10.0.0.2,"a, ""b"""\r\n'),
        ("a.json", '[{"ip":"10.0.0.1","owner":"eng"},\n {"ip":"10.0.0.2","owner":"a, \\"b\\""}]'),
        ("a.json", '{"10.0.0.1":{"owner":"eng"},"10.0.0.2":{"owner":"a, \\"b\\""}}'),
        ("a.yaml", "- {ip: 10.0.0.1, owner: eng}\n- {ip: 10.0.0.2, owner: 'a, \"b\"'}\n"),
        ("a.yml", "10.0.0.1: {owner: eng}\n10.0.0.2: {owner: 'a, \"b\"'}\n"),
    ],
)
def test_forms(tmp_path: Path, name: str, text: str):
    """CSV with a header; JSON and YAML as a list, or by key."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    found = load_dictionary(path, key="ip", fields=["src_endpoint.ip"], name="asset")
    assert len(found) == 2
    assert found.apply(EVENTS)["@enrich.asset.owner"].to_list() == ["eng", 'a, "b"', None]


@pytest.mark.parametrize(
    ("name", "text", "problems"),
    [
        (
            "a.csv",
            "address,owner\n1,x\n",
            [":1: ip: no such column; expected one of address, owner"],
        ),
        ("a.csv", "", [":1: ip: no such column"]),
        ("a.csv", "ip,owner\n", [":1: no rows"]),
        (
            "a.csv",
            "ip,owner\n1,x,y\n,z\n2,a\n2,b\n",
            [":2: saw 3 values, expected 2", ":3: ip: no value", ":5: ip: '2' is given twice"],
        ),
        ("a.json", '[{"ip":"1"},\n{"ip":"1"},\n5]', [":3: saw 5", ":2: ip: '1' is given twice"]),
        ("a.json", '[{"ip":"1"}\n{"ip":"2"}]', [":2: not JSON"]),
        ("a.json", '[{"ip":"1"}', [":1: not JSON"]),
        ("a.json", "5", [":1: saw 5, expected a list of objects, or objects by key"]),
        (
            "a.json",
            '[{"ip":"1"},\n{"ip":"2","id":340282366920938463463374607431768211456}]',
            [":2: id: saw 340282366920938463463374607431768211456, expected a number of up to 64"],
        ),
        ("a.json", '[{"ip":"1","name":"\\ud800"}]', [":1: name: saw '\\ud800', expected"]),
        ("a.json", '{"1": 2}', [":1: 1: saw 2, expected an object"]),
        ("a.yaml", "- ip: 1\n- owner: x\n- 7\n", [":3: saw 7", ":2: ip: no value"]),
        ("a.yaml", "- {", [": not YAML"]),
        ("a.txt", "x", ["expected .csv, .json, .yaml or .yml"]),
    ],
)
def test_mistakes_are_all_named_at_once(tmp_path: Path, name: str, text: str, problems: list[str]):
    """Each with file, line, key, what was seen and what is expected."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LookupErrors) as caught:
        load_dictionary(path, key="ip", fields=["src_endpoint.ip"], name="asset")
    assert len(caught.value.problems) == len(problems)
    for problem, seen in zip(problems, caught.value.problems, strict=True):
        assert problem in seen
        assert seen.startswith(str(path))


def test_files_that_cannot_be_read(tmp_path: Path):
    """Missing, a folder, or not UTF-8."""
    latin = tmp_path / "a.csv"
    latin.write_bytes(b"ip\n\xff\n")
    for path, said in (
        (tmp_path / "none.csv", "cannot be read"),
        (latin, "is not UTF-8"),
    ):
        with pytest.raises(LookupErrors, match=said):
            load_dictionary(path, key="ip", fields=["src_endpoint.ip"], name="asset")


def test_the_name_becomes_part_of_column_names(tmp_path: Path):
    """So it is a plain word."""
    with pytest.raises(LookupErrors, match="expected 1-64 letters"):
        load_dictionary(tmp_path / "a.csv", key="ip", fields=["src_endpoint.ip"], name="a]b")


def test_the_version_of_the_table_is_in_the_event(tmp_path: Path):
    """It is the beginning of the file's SHA-256, so it tells which file gave the data."""
    path = tmp_path / "assets.csv"
    versions = []
    for owner in ("eng", "ops"):
        path.write_text(f"ip,owner\n10.0.0.1,{owner}\n", encoding="utf-8")
        found = load_dictionary(path, key="ip", fields=["src_endpoint.ip"], name="asset")
        element = orjson.loads(found.apply(EVENTS)["enrichments[asset]:json"][0])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert element["provider"] == f"assets.csv@{digest[:12]}"
        versions.append(element["provider"])
    assert versions[0] != versions[1]
