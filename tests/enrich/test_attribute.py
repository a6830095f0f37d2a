"""Attributes from constants, templates and others."""

import polars as pl
import pytest

from topology.enrich.attribute import Attribute
from topology.templates import Copy, TemplateError, Text, template

EVENTS = pl.DataFrame(
    {
        "dst_endpoint.hostname": ["nas-1", None, "nas-3"],
        "file.path": ["/a", "/b", None],
        "count": [1, 2, None],
        "unmapped.zone": [None, "north", None],
    }
)


def test_a_constant_fills_what_is_absent():
    """What an event has stays; a new attribute has the constant's type."""
    made = Attribute("unmapped.zone", "west").apply(EVENTS)
    assert made["unmapped.zone"].to_list() == ["west", "north", "west"]
    assert Attribute("unmapped.level", 7).apply(EVENTS)["unmapped.level"].to_list() == [7, 7, 7]
    assert Attribute("unmapped.on", value=False).apply(EVENTS)["unmapped.on"].to_list() == [
        *(False, False, False)
    ]
    assert Attribute("count", 9).apply(EVENTS)["count"].to_list() == [1, 2, 9]


def test_a_template_needs_all_its_attributes():
    """Numbers become text; where one is absent there is nothing."""
    value = template("{{{dst_endpoint.hostname}}}:{file.path}#{count}")
    made = Attribute("unmapped.at", value).apply(EVENTS)
    assert made["unmapped.at"].to_list() == ["{nas-1}:/a#1", None, None]


def test_another_attribute():
    """It keeps its type."""
    assert Attribute("unmapped.n", Copy("count")).apply(EVENTS)["unmapped.n"].to_list() == [
        *(1, 2, None)
    ]
    assert Attribute("file.path", Copy("dst_endpoint.hostname")).apply(EVENTS)[
        "file.path"
    ].to_list() == ["/a", "/b", "nas-3"]


def test_nothing_to_do():
    """A batch without the attributes that are needed, or without events, stays as it is."""
    for events in (EVENTS.drop("count"), EVENTS.clear()):
        assert Attribute("x", Copy("count")).apply(events).equals(events)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("same", True),
        (Copy("dst_endpoint.hostname"), True),
        (Copy("file.path"), False),
        ([Copy("dst_endpoint.hostname"), Text("/"), Copy("file.path")], False),
    ],
)
def test_code_columns_that_no_longer_hold_are_dropped(value, kept: bool):
    """Equal codes mean equal endpoints, which a value from elsewhere would break."""
    coded = EVENTS.with_columns(pl.Series("@source", [0, 1, 0], dtype=pl.UInt32))
    made = Attribute("src_endpoint.name", value).apply(coded)
    assert ("@source" in made.columns) is kept


@pytest.mark.parametrize("text", ["{", "a}", "{}", "{a{b}}", "plain", "{{a}}", ""])
def test_templates_that_cannot_be_meant(text: str):
    """Braces that do not pair, or no attribute at all."""
    with pytest.raises(TemplateError):
        template(text)
