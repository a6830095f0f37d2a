"""Attributes that a tenant may not read: hashed with its key, or dropped, wherever they are told.

An event tells an attribute in more places than its own: the original line, parts of a path, the
user as logged, what enrichment added. Masking treats all of them (docs/outputs.md says which), so
that nothing in the tenant's records holds the value. Rules meet the clear values; what leaves
them, groups and evidence, is masked here, before it reaches `matches`.
"""

import hashlib
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from schemas import ocsf

Action: TypeAlias = Literal["hash", "drop"]

DIGITS: Final = 16
"""Hexadecimal digits of a hash: the first 64 bits of HMAC-SHA-256."""
BLOCK: Final = 64
"""Bytes of a block of SHA-256; a key has no more."""
MARK: Final = "\x1fmasked:"
"""Begins what `matches` has of a dropped value, so that groups stay apart; no alert shows it."""
MOST_REMEMBERED: Final = 65_536
MOST_PLANS: Final = 256

PARTS: Final[Mapping[str, frozenset[str]]] = {
    "path": frozenset({"path", "name", "ext", "parent_folder"}),
    "name": frozenset({"path", "name", "ext"}),
    "ext": frozenset({"path", "name", "ext"}),
    "parent_folder": frozenset({"path", "parent_folder"}),
}
"""Of a file: which of its attributes tell something of which others."""
FILES: Final = ("file", "file_result")
"""Both are the same file, before and after what was done."""
LOGGED: Final[Mapping[str, tuple[str, ...]]] = {
    "@user": (
        *(f"actor.user.{name}" for name in ("name", "domain", "uid", "uid_alt")),
        *(f"user.{name}" for name in ("name", "domain", "uid", "uid_alt")),
    ),
    "@user_ip": ("src_endpoint.ip", "src_endpoint.name", "src_endpoint.hostname"),
    "@path": tuple(f"file.{part}" for part in PARTS),
    "@target_path": tuple(f"file_result.{part}" for part in PARTS),
    "@object_id": ("file.uid",),
    "@operation": ("metadata.event_code", "api.operation"),
    "@status": ("status_code",),
}
"""Internal columns with what was logged, and the attributes that were made of it."""
FREE: Final = ("raw_data", "message")
"""Texts that may tell anything; so may whatever is under `unmapped`."""
OURS: Final = frozenset(
    {
        "activity_name",
        "category_name",
        "class_name",
        "type_name",
        "severity",
        "status",
        "metadata.uid",
        "metadata.version",
        "metadata.log_name",
        "metadata.original_time",
        "metadata.product.name",
        "metadata.product.vendor_name",
        "metadata.product.version",
        ocsf.KIND,
    }
)
"""Words of OCSF's and of the normalizers' own, and what identifies the event."""
FORMATTED: Final = frozenset({"ip", "mac", "email_addr"})
"""Last steps of attributes that have a form in OCSF, which a hash has not."""
NUMBERS: Final = frozenset(
    {"time", "class_uid", "category_uid", "type_uid", "activity_id", "severity_id", "status_id"}
)
"""OCSF's own numbers of what an event is."""
LABEL: Final = re.compile(r"\[[^\]]*\]")


def attribute_of(column: str) -> str:
    """The attribute that a column of an events frame holds, without labels of arrays."""
    return LABEL.sub("", column).removesuffix(ocsf.JSON_SUFFIX)


def maskable(name: str) -> bool:
    """Whether an attribute, or all that begins with `<object>.*`, can be masked."""
    stem = name.removesuffix(".*")
    return (
        re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", stem) is not None
        and ocsf.is_written(stem)
        and stem not in OURS
        and stem not in NUMBERS
        and stem.partition(".")[0] not in {"metadata", "unmapped"}
        and not stem.endswith("type_id")
    )


def formatted(name: str) -> bool:
    """Whether OCSF asks for a form that a hash does not have."""
    return name.rpartition(".")[2] in FORMATTED


@dataclass(frozen=True, slots=True)
class _Columns:
    """Columns of a frame by what is to be done: masked by name, left out, looked through."""

    named: Mapping[str, Action]
    free: frozenset[str]
    checked: frozenset[str]
    values: tuple[str, ...]
    """Those that others may repeat; what was logged is one where no attribute was made of it."""


class Mask:
    """What is masked for one tenant. `key`: the tenant's own, 32 bytes."""

    def __init__(self, actions: Mapping[str, Action], key: bytes) -> None:
        self.actions: Final = dict(actions)
        self._key: Final = key
        # RFC 2104 with the key's blocks taken once: a third of what hmac.digest costs.
        block = key.ljust(BLOCK, b"\0")
        self._inner: Final = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer: Final = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self._hashes: dict[str, str] = {}
        self._plans: dict[tuple[str, ...], _Columns] = {}

    def __repr__(self) -> str:
        return f"Mask({self.actions})"

    @property
    def form(self) -> Hashable:
        """Equal for masks that make the same of an event."""
        hashed = "hash" in self.actions.values()
        return frozenset(self.actions.items()), self._key if hashed else b""

    def action(self, column: str) -> Action | None:
        """What is done to a column by its name alone."""
        attribute = attribute_of(column)
        found = self._said(attribute)
        if found is not None:
            return found
        also = {self._said(source) for source in _sources(attribute)}
        if column.endswith(ocsf.JSON_SUFFIX) and any(
            name.startswith(f"{attribute}.") for name in self.actions
        ):
            return "drop"
        return "drop" if "drop" in also else "hash" if "hash" in also else None

    def hashes(self, texts: Sequence[str | None]) -> list[str | None]:
        """The hash of each text; equal texts have equal hashes."""
        known = self._hashes
        if len(known) + len(texts) > MOST_REMEMBERED:
            self._hashes = known = {}
        out: list[str | None] = []
        for text in texts:
            made = None if text is None else known.get(text)
            if made is None and text is not None:
                inner, outer = self._inner.copy(), self._outer.copy()
                inner.update(text.encode())
                outer.update(inner.digest())
                known[text] = made = outer.hexdigest()[:DIGITS]
            out.append(made)
        return out

    def columns(self, names: Sequence[str]) -> _Columns:
        """What is done to the columns of a frame."""
        at = tuple(names)
        if at not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[at] = self._planned(at)
        return self._plans[at]

    def _said(self, attribute: str) -> Action | None:
        """What the configuration says of an attribute; the longest pattern wins."""
        if attribute in self.actions:
            return self.actions[attribute]
        stem = attribute
        while "." in stem:
            stem = stem.rpartition(".")[0]
            if f"{stem}.*" in self.actions and not attribute.endswith(".type_id"):
                action = self.actions[f"{stem}.*"]
                return "drop" if formatted(attribute) else action
        return None

    def _planned(self, names: tuple[str, ...]) -> _Columns:
        named, free, checked = {}, set(), set()
        for name in names:
            if name in ocsf.FRAME_COLUMNS or name.startswith(ocsf.CODE) or name in ocsf.SHARED:
                continue
            action = self.action(name)
            if action is not None:
                named[name] = action
            elif name in FREE or (name.startswith("unmapped.") and name != ocsf.KIND):
                free.add(name)
            elif name not in OURS:
                checked.add(name)
        values = tuple(name for name in named if not name.endswith(".ext"))
        return _Columns(named, frozenset(free), frozenset(checked), values)


def _sources(attribute: str) -> Sequence[str]:
    """Attributes that an attribute, or internal column, tells something of."""
    if attribute in LOGGED:
        return LOGGED[attribute]
    stem, _, part = attribute.rpartition(".")
    above, _, holder = stem.rpartition(".")
    if part not in PARTS or holder not in FILES:
        return ()
    prefix = f"{above}." if above else ""
    return [
        f"{prefix}{each}.{source}"
        for each in FILES
        for source in PARTS
        if part in PARTS[source] or source in PARTS[part]
    ]
