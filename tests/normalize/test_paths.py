"""Paths into name, extension and folder."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.normalize.paths import Path, split_many, split_one


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/a.docx", Path("a.docx", "docx", "/data", folder=False)),
        ("/data/a.tar.gz", Path("a.tar.gz", "gz", "/data", folder=False)),
        ("/data/sub.d/", Path("sub.d", None, "/data", folder=True)),
        ("/top", Path("top", None, "/", folder=False)),
        ("/top/", Path("top", None, "/", folder=True)),
        ("/", Path("/", None, None, folder=True)),
        ("name", Path("name", None, None, folder=False)),
        ("/home/.bashrc", Path(".bashrc", None, "/home", folder=False)),
        ("/home/ends.", Path("ends.", None, "/home", folder=False)),
        ("\\\\nas\\share", Path("share", None, "\\\\nas", folder=False)),
        ("/a/back\\slash.txt", Path("back\\slash.txt", "txt", "/a", folder=False)),
        ("", Path("", None, None, folder=False)),
    ],
)
def test_exact(path: str, expected: Path):
    """Slash means folder; a dot at an edge makes no extension; UNC paths split at backslashes."""
    assert split_one(path) == expected


@given(st.lists(st.one_of(st.none(), st.text("/\\.aé ", max_size=12)), min_size=1, max_size=30))
def test_columns_agree_with_the_exact_path(paths: list[str | None]):
    """Whatever the paths, many at once give what each alone gives."""
    many = paths * (SMALL // len(paths) + 1)
    exact = [(None,) * 4 if path is None else tuple(split_one(path)) for path in many]
    assert split_many(pl.Series(many, dtype=pl.String)).rows() == exact
