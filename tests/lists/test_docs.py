"""The rules of docs/lists.md do what it says, on events that match and on those that do not."""

import re
from pathlib import Path

import polars as pl
import pytest
import yaml

from app.config.lists import ListSettings
from tests.lists.offline import Offline
from topology.match.compile import compile_rules

PAGE = (Path(__file__).parents[2] / "docs" / "lists.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
LISTS = {
    name: each.active_list(name)
    for name, given in yaml.safe_load(BLOCKS[0])["lists"].items()
    for each in [ListSettings.model_validate(given, strict=False)]
}
HOUR = 3_600_000
ALERT = "New account made an administrator"


@pytest.mark.parametrize(
    ("after", "member", "alerts"),
    [
        (HOUR, "eve", 1),
        (4 * HOUR - 1, "eve", 1),
        (4 * HOUR, "eve", 0),
        (0, "eve", 0),
        (-HOUR, "eve", 0),
        (HOUR, "bob", 0),
    ],
)
def test_a_new_account_is_made_an_administrator(after, member, alerts):
    """It alerts in the four hours after the account was made, and for no other account."""
    run = Offline(compile_rules([("docs/lists.md", BLOCKS[1])], lists=LISTS))
    start = 100 * HOUR
    run.take(
        pl.DataFrame(
            {
                "time": [start, start + after],
                "metadata.uid": ["u0", "u1"],
                "EventID": ["4720", "4732"],
                "TargetUserName": ["eve", "Administrators"],
                "SubjectUserName": ["adm", "adm"],
                "MemberName": [None, member],
            }
        )
    )
    assert run.titles() == [ALERT] * alerts
