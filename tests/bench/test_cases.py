"""What is started by its name alone is there: no type checker follows a name in a string."""

import ast
import re
from pathlib import Path

import pytest

from bench.__main__ import CASES

ROOT = Path(__file__).parents[2]
STARTED = re.compile(r'"-m", "((?:bench|chaos)[\w.]*)"')


def _source(module: str) -> Path:
    return (ROOT / module.replace(".", "/")).with_suffix(".py")


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_the_function_that_is_called(case: str) -> None:
    """With the one argument that it is called with, and a status to end with."""
    body = ast.parse(_source(CASES[case]).read_text(encoding="utf-8")).body
    functions = {each.name: each for each in body if isinstance(each, ast.FunctionDef)}
    assert ast.unparse(functions["run"].args) == "options: Options"
    assert ast.unparse(functions["run"].returns or functions["run"]) == "int"


def test_programs_that_are_started_are_there() -> None:
    """Benchmarks and experiments start parts of themselves as processes of their own."""
    sources = [file for name in ("bench", "chaos") for file in (ROOT / name).rglob("*.py")]
    started = {
        module for file in sources for module in STARTED.findall(file.read_text(encoding="utf-8"))
    }
    assert {"bench.state_worker", "chaos.send"} <= started
    assert [module for module in started if not _source(module).is_file()] == []
