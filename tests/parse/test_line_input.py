"""What `northbound parse` reads, and what it says when it cannot."""

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.commands.line_input import lines_of

NORMALIZER = Path(__file__).parents[2] / "normalizers" / "sshd.yaml"


class Pieces(io.BytesIO):
    """A pipe that gives a few bytes at a time."""

    def read1(self, size: int | None = -1, /) -> bytes:
        """Three of them at most."""
        return super().read1(min(3, size or 3))


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"a", b"ab\ncd", b"\n\nabcdefgh\n\n", b"ab\r\n\0\xff"]
)
def test_lines_are_whole_however_they_come(data: bytes):
    """To the last byte; the last line may have no end."""
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    for source in (io.BytesIO(data), Pieces(data)):
        assert [line for lines in lines_of(source) for line in lines] == expected


def test_a_file_is_read_as_standard_input_is(tmp_path: Path):
    """By its name, lines or frames."""
    log = tmp_path / "some.log"
    log.write_bytes(b"<14>a\r\n<14>b\n")
    for options in ((), ("--framing", "auto")):
        named = CliRunner().invoke(app, ["parse", str(log), "--output", "fields", *options])
        piped = CliRunner().invoke(
            app, ["parse", "--output", "fields", *options], input=log.read_bytes()
        )
        assert named.stdout == piped.stdout
        assert len([json.loads(line) for line in named.stdout.splitlines()]) == 2


def test_wrong_files_and_contradictions_are_told(tmp_path: Path):
    """Status 2, one line, nothing on standard output."""
    log = tmp_path / "some.log"
    log.write_bytes(b"x\n")
    for arguments, problem in (
        ([str(tmp_path / "missing")], "No such file"),
        ([str(tmp_path)], "Is a directory"),
        ([str(log), "--normalizer", str(tmp_path / "missing")], "no such file"),
        ([str(log), "--normalizer", str(NORMALIZER), "--format", "json"], "leave them out"),
        ([str(log), "--normalizer", str(NORMALIZER), "--option", "timezone=UTC"], "leave them out"),
    ):
        result = CliRunner().invoke(app, ["parse", *arguments])
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert problem in result.stderr
        assert result.stderr.count("\n") == 1
    result = CliRunner().invoke(app, ["parse", str(log), "--normalizer", str(tmp_path)])
    assert (result.exit_code, "Is a directory" in result.stderr) == (1, True)
