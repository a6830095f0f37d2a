"""Workload W is what the benchmark says it is."""

import csv
import ipaddress
import re

import polars as pl
import pytest

from bench import workload

BASE_MS = 1_769_522_400_000
LINES = 60_000
LINE = re.compile(
    r"<14>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{0,5}[1-9])?Z nas-[1-4] qumulo - - - (?P<body>.+)"
)


@pytest.fixture(scope="module")
def bodies() -> list[list[str]]:
    """The CSV fields of each line of a small W."""
    lines = [line.decode() for line in workload.generate(1, BASE_MS, LINES).lines()]
    matched = [LINE.fullmatch(line) for line in lines]
    assert None not in matched
    return list(csv.reader([found["body"] for found in matched if found], strict=True))


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Lines and dictionaries depend on the seed, the base time and nothing else."""
    first = workload.generate(7, BASE_MS, 2_000).lines(1)
    assert first == workload.generate(7, BASE_MS, 2_000).lines(1)
    assert first != workload.generate(8, BASE_MS, 2_000).lines(1)
    assert workload.assets(7).equals(workload.assets(7))
    assert not workload.departments(7).equals(workload.departments(8))


def test_proportions(bodies: list[list[str]]) -> None:
    """500 users, 250 addresses, ten operations, 3 % deletes, 4 % denied; eight fields each."""
    assert {len(body) for body in bodies} == {8}
    address, user, _, operation, status, *_ = zip(*bodies, strict=True)
    assert len(set(user)) == workload.USERS
    assert len(set(address)) == workload.ADDRESSES
    assert {ipaddress.ip_address(each).version for each in set(address)} == {4, 6}
    assert set(operation) == set(workload.OPERATIONS)
    assert len(set(operation)) == 10
    assert operation.count("fs_delete") / LINES == pytest.approx(0.03, abs=0.003)
    assert status.count("fs_access_denied_error") / LINES == pytest.approx(0.04, abs=0.003)
    assert set(status) == {"ok", "fs_access_denied_error"}


def test_hard_text(bodies: list[list[str]]) -> None:
    """Commas, quotes and UTF-8 in paths, ids beyond 64 bits, targets of renames alone."""
    paths = [body[6] for body in bodies]
    assert 0.02 < sum("," in path for path in paths) / LINES < 0.3
    assert 0.005 < sum('"' in path for path in paths) / LINES < 0.05
    assert 0.05 < sum(not path.isascii() for path in paths) / LINES < 0.5
    widest = max(int(body[5]).bit_length() for body in bodies)
    assert 90 < widest <= 97
    assert {body[3] for body in bodies if body[7]} == {"fs_rename"}
    flagged = sum(path.rpartition(".")[2] in workload.FLAGGED for path in paths)
    assert 0.001 < flagged / LINES < 0.01


def test_size() -> None:
    """A line has about 148 bytes."""
    lines = workload.generate(1, BASE_MS, 20_000).lines()
    assert sum(map(len, lines)) / len(lines) == pytest.approx(148, abs=4)


def test_dictionaries() -> None:
    """1,000 assets by address and 500 users; most clients are listed, not all."""
    assets, departments = workload.assets(1), workload.departments(1)
    assert assets.height == assets["ip"].n_unique() == workload.ASSETS
    assert departments.height == departments["user"].n_unique() == workload.USERS
    listed = pl.Series(workload.addresses()).is_in(assets["ip"].implode())
    assert 0.9 < listed.mean() < 1.0


@pytest.mark.parametrize("chosen", range(1, 6))
def test_a_handful_of_alerts(chosen: int) -> None:
    """Each pass over all lines has a few windows that reach the threshold, whatever the seed."""
    made = workload.generate(chosen, BASE_MS)
    first, passes = made.alerts(1), made.alerts(3)
    assert 1 <= len(first) <= 15
    assert len(passes) == 3 * len(first)
    assert {(user, start) for user, start in passes if start < BASE_MS + workload.SPAN_MS} == first


def test_passes_go_on_in_event_time() -> None:
    """The second pass has the lines of the first, later in event time."""
    made = workload.generate(1, BASE_MS, 500)
    stamps = [[line.split(b" ", 2)[1] for line in made.lines(number)] for number in (0, 1)]
    rest = [[line.split(b" ", 2)[2] for line in made.lines(number)] for number in (0, 1)]
    assert rest[0] == rest[1]
    assert max(stamps[0]) < min(stamps[1])


def test_the_base_lies_on_a_windows_edge() -> None:
    """A base time inside a window is refused."""
    with pytest.raises(ValueError, match="expected a multiple of 300000"):
        workload.generate(1, BASE_MS + 1)
