"""`northbound try`: an unknown log is recognised, and a normalizer for it begun."""

import gzip
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from app.cli import app

ROOT = Path(__file__).parents[2]
HEADER = "<14>1 2026-01-27T14:12:23Z nas-1 app - - - "
LOGS = {
    "qumulo": [
        f'<14>1 2026-01-27T14:12:2{n}Z nas-1 qumulo - - - 10.0.0.{n},"eve",smb2,fs_tree_delete,ok,'
        f'7,"/data/{n}/",""'
        for n in range(6)
    ],
    "cef": [f"CEF:0|V|P|1|{n}|name|5|src=10.0.0.{n} act=deny" for n in range(6)],
    "leef": [f"LEEF:1.0|V|P|1|{n}|src=10.0.0.{n}\tact=deny" for n in range(6)],
    "kv": [f'time=1{n} src=10.0.0.{n} msg="a b" act=deny' for n in range(6)],
    "json": [json.dumps({"a": {"b": n}, "message": "m"}) for n in range(6)],
    "xml": [f"<e><a>{n}</a><b>x</b></e>" for n in range(6)],
    "csv": [f'{n},"a, b",c,d' for n in range(6)],
    "tsv": [f"{n}\ta b\tc" for n in range(6)],
    "rfc5424": [f"{HEADER}something {n} happened, and more" for n in range(6)],
    "rfc3164": [f"<34>Jan 27 14:12:2{n} host app[1]: a = b, c" for n in range(6)],
    "plain": [f"nothing that anybody knows {n}" for n in range(6)],
}


def try_(tmp_path, lines, *options, name="some.log"):
    file = tmp_path / name
    file.write_bytes(lines if isinstance(lines, bytes) else "\n".join(lines).encode() + b"\n")
    result = CliRunner().invoke(app, ["try", str(file), "--json", *map(str, options)])
    return result, json.loads(result.stdout) if result.exit_code == 0 else None


@pytest.mark.parametrize("name", LOGS)
def test_formats_are_recognised(tmp_path, monkeypatch, name):
    """Of all formats the one that says most of the lines; each line becomes an event."""
    monkeypatch.chdir(tmp_path)
    broken = [*LOGS[name], "\x01 odd"]
    result, found = try_(tmp_path, broken)
    assert result.exit_code == 0, result.stderr
    assert found["format"] == name
    assert found["normalizer"] is None
    assert len(found["events"]) + len({each["row"] for each in found["failures"]}) == len(broken)


def test_a_normalizer_that_describes_it_is_better(tmp_path):
    """Shipped ones are tried where they are."""
    case = ROOT / "normalizers" / "tests" / "sudo" / "commands.log"
    options = ("--normalizers", ROOT / "normalizers")
    _, found = try_(tmp_path, case.read_bytes(), *options)
    assert Path(found["normalizer"]).name == "sudo.yaml"
    assert any(event["class_name"] == "Authorize Session" for event in found["events"])


def test_rules_that_would_fire(tmp_path):
    """Counted by title; a correlation with what it counts."""
    _, found = try_(tmp_path, LOGS["qumulo"], "--rules", ROOT / "rules" / "qumulo")
    assert found["rules"]["Directory tree deleted"] == len(LOGS["qumulo"])


@pytest.mark.parametrize(("form", "sign"), [("csv", ","), ("tsv", "\t")])
def test_the_head_of_a_table_names_its_fields(tmp_path, monkeypatch, form, sign):
    """It is no event; a first line that is like the others names nothing."""
    monkeypatch.chdir(tmp_path)
    rows = [sign.join(("2026-01-27", "eve", f"10.0.0.{n}", "ok")) for n in range(6)]
    target = tmp_path / "mine.yaml"
    _, found = try_(tmp_path, [sign.join(("time", "user", "address", "result")), *rows],
                    "--write", target)  # fmt: skip
    assert yaml.safe_load(target.read_text("utf-8"))["options"] == {
        "columns": "time,user,address,result"
    }
    assert "#   address: 85 %  10.0.0.0" in target.read_text("utf-8")
    assert (found["format"], len(found["events"])) == (form, 6)
    assert ["head of a file" in each["reason"] for each in found["failures"]] == [True]
    for first in (rows[0], sign.join(("time", "eve", "address", "result"))):
        _, found = try_(tmp_path, [first, *rows])
        assert len(found["events"]) == 7


@pytest.mark.parametrize("name", LOGS)
def test_the_skeleton_is_a_normalizer(tmp_path, monkeypatch, name):
    """It loads and gives events, names the fields, and no file is written over."""
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "mine.yaml"
    result, _ = try_(tmp_path, LOGS[name], "--write", target)
    assert result.exit_code == 0, result.stderr
    text = target.read_text("utf-8")
    if name != "plain":
        assert "# Fields seen" in text
    checked = CliRunner().invoke(app, ["normalizers", "check", str(target)])
    assert checked.exit_code == 0, checked.output
    lines = "\n".join(LOGS[name]).encode()
    made = CliRunner().invoke(app, ["parse", "--normalizer", str(target)], input=lines)
    events = [json.loads(each) for each in made.stdout.splitlines()]
    assert [event.get("class_name") for event in events] == ["Base Event"] * len(LOGS[name])
    result, _ = try_(tmp_path, LOGS[name], "--write", target)
    assert (result.exit_code, "is there already" in result.stderr) == (2, True)
    assert target.read_text("utf-8") == text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\n\n", "nothing in it"),
        (b"\x00\x01\x02\x03" * 9, "looks like no text"),
        (bytes(range(256)) * 40, "looks like no text"),
        (gzip.compress(b"some line\n" * 99, mtime=0), "gunzip"),
        ("<14>1 - h a - - - hello\r\n".encode("utf-16"), "iconv -f UTF-16"),
        (b"ElfFile\x00" + bytes(99), "wevtutil"),
    ],
)
def test_what_is_no_log(tmp_path, content, problem):
    """It is said, with what to do."""
    result, _ = try_(tmp_path, content)
    assert (result.exit_code, problem in result.stderr) == (1, True)
    missing = CliRunner().invoke(app, ["try", str(tmp_path / "nothing")])
    assert (missing.exit_code, "No such file" in missing.stderr) == (2, True)


@pytest.mark.parametrize(
    "text",
    ["Zażółć gęślą jaźń 1".encode("iso-8859-2"), "вход 1".encode("koi8-r"), b"8=FIX\x019=5\x01"],
)
def test_text_of_other_encodings_and_delimiters_is_text(tmp_path, monkeypatch, text):
    """And bytes that are kept are no field that a format read."""
    monkeypatch.chdir(tmp_path)
    result, found = try_(tmp_path, (text + b"\n") * 50)
    assert result.exit_code == 0, result.stderr
    assert (found["format"], len(found["events"])) == ("plain", 50)


@pytest.mark.parametrize("levels", [129, 500, 1_000, 100_000])
def test_json_of_any_depth_is_looked_at(tmp_path, monkeypatch, levels):
    """Beside JSON that can be read; it fails with its reason."""
    monkeypatch.chdir(tmp_path)
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    target = tmp_path / "mine.yaml"
    result, found = try_(tmp_path, b'{"a":1}\n{"a":2}\n' + deep, "--write", target)
    assert result.exit_code == 0, result.stderr
    assert found["format"] == "json"
    (failure,) = found["failures"]
    assert failure["row"] == 2


def test_what_cannot_work_is_said_before_the_work(tmp_path):
    """No file is looked at for an output that cannot be written, or with nothing to try."""
    log = tmp_path / "some.log"
    log.write_bytes(b"line\n")
    (tmp_path / "nothing").mkdir()
    for options, problem in (
        (["--write", str(log)], "is there already"),
        (["--write", str(tmp_path / "no" / "x.yaml")], "there is no folder"),
        (["--rules", str(tmp_path / "nothing")], "no rules; expected files named *.yml"),
        (["--normalizers", str(tmp_path / "nothing")], "no normalizers in it"),
    ):
        result = CliRunner().invoke(app, ["try", str(log), *options])
        assert (result.exit_code, result.stdout) == (2, "")
        assert problem in result.stderr


def test_people_are_told_what_is_odd(tmp_path, monkeypatch):
    """Lines that are not UTF-8, that no rule matches, and only the beginning of a huge event."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("app.commands.try_log.as_json", lambda _: False)
    log = tmp_path / "some.log"
    log.write_bytes(b"caf\xe9\n" + b"x" * 100_000 + b"\n")
    result = CliRunner().invoke(app, ["try", str(log), "--rules", str(ROOT / "rules" / "sshd")])
    assert "1 line not in UTF-8" in result.stdout
    assert "matches these events" in result.stdout
    assert "characters)" in result.stdout
    assert len(result.stdout) < 10_000
