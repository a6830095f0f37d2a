"""The key of masked attributes: made once, kept, and never shown."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.mask_key import MaskKeyError, tenants_key
from topology.mask import Mask


def test_it_is_made_once_and_each_tenant_has_its_own(tmp_path: Path) -> None:
    """By several at once too; the file is its owner's alone and nothing else is left there."""
    file = tmp_path / "secret" / "mask.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: tenants_key(file, "acme", make=True), range(32)))
    assert len(keys) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["mask.key"]
    assert tenants_key(file, "beta", make=False) not in keys
    assert file.read_text().strip() not in {key.hex() for key in keys}


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        ("00" * 32, 0o640, "chmod 600"),
        ("00" * 31, 0o600, "expected 64 hexadecimal digits"),
        ("nothing", 0o600, "expected 64 hexadecimal digits"),
    ],
)
def test_a_file_that_is_no_key(tmp_path: Path, content: str, mode: int, told: str) -> None:
    """It is neither used nor written over, and what it holds is not repeated."""
    file = tmp_path / "mask.key"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(MaskKeyError, match=told) as caught:
        tenants_key(file, "acme", make=True)
    assert content not in str(caught.value)
    assert file.read_text() == content


def test_a_mask_does_not_show_its_key() -> None:
    """Neither in what is printed of it nor in its hashes."""
    key = b"\x01" * 32
    mask = Mask({"actor.user.name": "hash"}, key)
    for text in (repr(mask), str(mask), str(mask.hashes(["alice"]))):
        assert key.hex() not in text
        assert repr(key)[2:-1] not in text


def test_hashes_are_hmac_sha_256() -> None:
    """The first 16 digits of RFC 2104 over SHA-256: RFC 4231, test case 2."""
    assert Mask({}, b"Jefe").hashes(["what do ya want for nothing?", None]) == [
        "5bdcc146bf60754e",
        None,
    ]
