"""JSON bodies of Qumulo audit messages for property tests: usual, odd, and traps."""

import json

from hypothesis import strategies as st

# Fragments of JSON, and of what only looks like it.
CHARACTERS = st.sampled_from([
    *"abAD/.,:{}[] 0é日\U0001f600\u2028\x7f\ufeff",
    r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t",
    r"\u00e9", r"\u0000", r"\u001f", r"\u0041", r"\ud83d\ude00", r"\uD83D\uDE00",
    r"\"before\": {", r"\"path\": ",
])  # fmt: skip
ODD_CHARACTERS = st.sampled_from(
    ["\\", r"\a", r"\u12", r"\ud800", r"\udc00", r"\ud83dx", '"', "\n", "\x00", "\x1f", r"\x41"]
)
STRINGS = st.lists(CHARACTERS, max_size=8).map(lambda parts: f'"{"".join(parts)}"')
ODD_STRINGS = st.lists(st.one_of(CHARACTERS, ODD_CHARACTERS), max_size=6).map(
    lambda parts: f'"{"".join(parts)}"'
)
NUMBERS = st.one_of(
    st.integers(-(10**18) + 1, 10**18 - 1).map(str),
    st.sampled_from(["0", "4096", "-1"]),
)
ODD_NUMBERS = st.sampled_from(
    [
        "-0", "00", "01", "1.5", "1.0", "-0.0", "1e5", "1E+20", "1e400", "0.1e-7", "+1", ".5", "5.",
        "999999999999999999", "1000000000000000000", "9223372036854775807", "9223372036854775808",
        "-9223372036854775808", "-9223372036854775809", "18446744073709551616",
        "140624751830626345080086044861", "123456789.123456789", "NaN", "Infinity", "1_0",
    ]
)  # fmt: skip
LITERALS = st.sampled_from(["null", "true", "false"])
NAMES = ["user_id", "user_ip", "protocol", "operation", "status", "details"]
DETAILS = [
    "path", "target", "extra_name", "second_extra_name", "file_id", "offset", "size", "file_size",
    "before", "after",
]  # fmt: skip
ANY_NAME = st.sampled_from(
    [
        *NAMES,
        *DETAILS,
        "sid",
        "auth_id",
        "name",
        "",
        "x",
        "pat",
        "paths",
        "é",
        r"p\u0061th",
        r"a\"b",
    ]
)


COUNTS = st.integers(0, 4)


def _join(members: list[tuple[str, str]], style: tuple[str, str]) -> str:
    comma, colon = style
    return "{" + comma.join(f'"{name}"{colon}{value}' for name, value in members) + "}"


STYLES = st.sampled_from([(", ", ": ")] * 8 + [(",", ":")] * 4 + [(", ", ":"), (" ,", " : ")])
BROKEN_STYLES = st.sampled_from([(",\t", ":\n"), (",,", ":"), (", ", ""), ("", ":")])
FRACTIONS = st.sampled_from(["1.5", "2.50", "1e16", "1E-7", "-0.0", "-0", "123456789.123456789"])


def _nested(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda found: f"[{', '.join(found)}]"),
            st.builds(_join, st.lists(st.tuples(ANY_NAME, inner), max_size=4), STYLES),
        ),
        max_leaves=6,
    )


VALUES = _nested(st.one_of(STRINGS, NUMBERS, LITERALS, FRACTIONS))
ODD_VALUES = _nested(st.one_of(STRINGS, ODD_NUMBERS, ODD_STRINGS))
CHANGES = st.builds(_join, st.lists(st.tuples(ANY_NAME, VALUES), max_size=4), STYLES)


@st.composite
def usual(draw: st.DrawFn) -> str:
    """A body as clusters write them: any order of keys, any of the documented details."""
    style = draw(st.sampled_from([(", ", ": "), (",", ":")]))
    texts = st.text(st.characters(codec="utf-8"), max_size=12)

    def text(strategy: st.SearchStrategy[str] = texts) -> str:
        return json.dumps(draw(strategy), ensure_ascii=draw(st.booleans()))

    name = st.text(st.characters(codec="utf-8", exclude_characters='"{}', min_codepoint=32))
    user = [("sid", text(st.just("S-1-5"))), ("auth_id", text(name)), ("name", text(name))]
    owner = _join([("sid", text()), ("auth_id", text())], style)
    change = _join([("ctime", text()), ("owner", owner), ("mode", "511"), ("acl", "[]")], style)
    details = {
        **{key: text() for key in ("path", "target", "file_id")},
        **{key: draw(NUMBERS) for key in ("offset", "size", "file_size")},
        "before": change,
        "after": change,
    }
    chosen = draw(st.permutations([(key, details[key]) for key in details if draw(st.booleans())]))
    members = [
        ("user_id", _join(draw(st.permutations(user)), style)),
        *((key, text()) for key in ("user_ip", "protocol", "operation", "status")),
        ("details", _join(chosen, style)),
    ]
    return _join(draw(st.permutations(members)), style)


@st.composite
def odd(draw: st.DrawFn) -> str:
    """A body with keys missing, repeated, in the wrong place or of the wrong kind."""
    broken = draw(st.integers(0, 5)) == 0
    style = draw(BROKEN_STYLES if broken and draw(st.booleans()) else STYLES)
    values = ODD_VALUES if broken else VALUES
    numbers = st.one_of(NUMBERS, values) if broken else NUMBERS
    texts = st.one_of(STRINGS, st.just("null"), values) if broken else STRINGS
    members = [
        *draw(st.permutations([(name, draw(texts)) for name in NAMES[1:5]]))[draw(COUNTS) :],
        ("operation", '"fs_open"'),
    ]
    user = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["sid", "auth_id", "name", "name", "x"]),
                st.one_of(STRINGS, STRINGS, STRINGS, ODD_STRINGS, VALUES),
            ),
            max_size=4,
        )
    )
    members.append(("user_id", _join(user, style)))
    details = draw(
        st.lists(
            st.one_of(
                st.tuples(st.sampled_from(DETAILS[:5]), texts),
                st.tuples(st.sampled_from(DETAILS[5:8]), numbers),
                st.tuples(st.sampled_from(DETAILS[8:]), st.one_of(CHANGES, values)),
                st.tuples(st.sampled_from(["x", "pat", "paths", "name"]), st.one_of(texts, values)),
            ),
            max_size=5,
        )
    )
    members.append(("details", _join(details, style)))
    if draw(COUNTS) == 0:
        members.append((draw(ANY_NAME), draw(values)))
    if draw(COUNTS) == 0:
        members.pop(draw(st.integers(0, len(members) - 1)))
    text = _join(draw(st.permutations(members)), style)
    if broken and draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        piece = draw(st.sampled_from(['"', "}", "{", "\\", ",", " ", ""]))
        text = text[:at] + piece + text[at + 1 :]
    return text


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A usual body with a few characters replaced."""
    text = draw(usual())
    at = draw(st.integers(0, len(text)))
    piece = draw(st.one_of(ODD_NUMBERS, ODD_CHARACTERS, st.sampled_from([*"{}[],: x9", "null"])))
    return text[:at] + piece + text[at + draw(st.integers(0, 2)) :]


TRAPS = [
    r'{"user_id": {"name": "AD\alice"}, "operation": "fs_open"}',
    r'{"user_id": {"name": "AD\"}, "operation": "fs_open", "x": "y"}',
    '{"user_id": {}, "operation": "a", "operation": "b"}',
    '{"user_id": {}, "operation": "a", "details": {"path": "/a", "path": null}}',
    '{"user_id": {}, "operation": "a", "path": "/top", "details": {}}',
    '{"details": {"user_id": {"name": "in"}}, "user_id": {"name": "out"}, "operation": "a"}',
    '{"user_id": {}, "operation": "a", "details": {"before": {"after": {"a": 1}}}}',
    '{"user_id": {}, "operation": "a", "details": {"after": {"before": {"a": 1}}, "x": 1}}',
    '{"user_id": {}, "operation": "a", "details": {"after": {"before": {}}, "before": {}}}',
    '{"user_id": {}, "operation": "a", "details": {"before": {"a": 1, "a": 2.50, "b": 1e16}}}',
    '{"user_id": {}, "operation": "a", "details": {"before": {"a": -0, "b": 1234567890123456789}}}',
    '{"user_id": {}, "operation": "a", "details": {"before": 0, "after": []}}',
    '{"user_id": {}, "operation": "a", "before": {}, "details": null}',
    '{"user_id": {}, "operation": "a", "details": {}, "details": {"path": "/a"}}',
    '{"user_id": "bob", "operation": "a", "x": {"y": 1}}',
    '{"user_id": {"name": {"x": 1}}, "operation": "a"}',
    r'{"user_id": {"name": "\u0000\ud800"}, "operation": "a"}',
    '{"user_id": {"sid": 140624751830626345080086044861}, "operation": "a"}',
    r'{"x\"user_id": {}, "user_id": {}, "operation": "a"}',
    '{"user_id": {}, "operation": "a"} ',
    '{"user_id": {}, "operation": ""}',
    '{"user_id": {}}',
    "{}",
]
