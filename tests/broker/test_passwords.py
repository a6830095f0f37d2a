"""Passwords of tenants: the conditions on those that are given, and what is kept of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker import bundle, credentials, passwords
from app.broker.bundle import Access
from app.broker.cluster_error import ClusterError
from app.broker.credentials import Credentials
from app.broker.tenants import begun, finished, keep

GOOD = "uR8-wq0Zk+3Vd.x"
OTHER = "kC4:nn_pB7~eL1/s"


def test_what_is_made_satisfies_what_is_asked() -> None:
    """Every one, and no two are alike."""
    made = [passwords.generate() for _ in range(200)]
    assert len(set(made)) == 200
    assert not any(passwords.problems(each, ["acme"]) for each in made)


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("uR8-wq0Zk+3Vd", "has 13 signs; expected 14 to 128"),
        (GOOD * 10, "has 150 signs"),
        ("urtwqhzkfvdxplg", "of 1 of the classes"),
        ("URTWQ8ZKFV6XPLG", "of 2 of the classes"),
        ("aB3aB3aB3aB3aB3aB3", "has 3 different signs"),
        ("uR8-wq0Z k+3Vd.x", "1 sign(s) that some client's configuration would misread"),
        ('uR8-wq0Z"k\\$Vd.x', "3 sign(s)"),
        ("uR8-wq0Zk+3Vd.ü", "1 sign(s)"),
    ],
)
def test_what_is_not_taken(password: str, problem: str) -> None:
    """Each mistake says what was expected, without a sign of the password."""
    with pytest.raises(passwords.PasswordError) as caught:
        passwords.check(password)
    assert problem in str(caught.value)
    assert password not in str(caught.value)


@pytest.mark.parametrize(
    "password",
    [
        "Password12345678!",
        "P@ssw0rd-P@ssw0rd-2024",
        "Welcome1Welcome1!",
        "Summer2025-Winter2026",
        "Qwertyuiop-1234567890",
        "1qaz2wsx3edc!QAZ4RFV",
        "Administrator-1999!!",
        "Kafka-Northbound-2026",
        "xX-ACME-siem-Acme-77!",
        "AbcdefgHijklmn0987654",
        "Letmein!!!!!!!!!!!!!!1",
        "Change-Me-Change-Me-01",
    ],
)
def test_known_passwords(password: str) -> None:
    """What satisfies length and classes, and is a common word, a run or a year in disguise."""
    (problem,) = passwords.problems(password, ["acme"])
    assert "is a known one" in problem


@pytest.mark.parametrize(
    "password", [GOOD, OTHER, "correct-Horse7battery-Staple", "Tram+gravel=9+Oboe+lint"]
)
def test_what_is_taken(password: str) -> None:
    """Random signs, and several words that are no common passwords."""
    assert passwords.check(password, ["acme"]) == password


@given(st.text(alphabet=passwords.ALLOWED, min_size=1, max_size=200))
def test_no_message_repeats_a_password(password: str) -> None:
    """Whatever is wrong with it; and whatever is right."""
    assert not any(password in each for each in passwords.problems(password) if len(password) > 9)


@given(st.text(alphabet=passwords.ALLOWED, min_size=14, max_size=40))
def test_signs_that_are_allowed_stand_in_every_file(password: str) -> None:
    """Each file of a bundle that holds the password holds it as it is, or as JSON and YAML say."""
    access = Access(
        tenant="acme",
        servers="k:9094",
        user="acme",
        password=password,
        topics={"events": "northbound.acme.events"},
        group_prefix="acme.",
        ca=None,
    )
    for make in bundle.FORMATS.values():
        for file in make(access):
            if file.secret:
                assert password.encode() in file.content, file.name


def test_what_is_kept(tmp_path: Path) -> None:
    """Written for its owner alone, read back, not shown; gone without a trace."""
    folder = tmp_path / "credentials"
    keep(folder, "acme", GOOD)
    keep(folder, "acme")
    kept = credentials.read(folder, "acme")
    assert kept == Credentials(GOOD)
    assert GOOD not in repr(kept)
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    credentials.remove(folder, "acme")
    credentials.remove(folder, "acme")
    assert list(folder.iterdir()) == []
    with pytest.raises(ClusterError, match="northbound tenants add acme"):
        credentials.read(folder, "acme")


def test_two_passwords_at_a_time(tmp_path: Path) -> None:
    """The older one stays where the bundle had it, the newer is on the other mechanism."""
    keep(tmp_path, "acme", GOOD)
    with pytest.raises(ClusterError, match="No rotation of acme is open"):
        finished(tmp_path, "acme")
    new = begun(tmp_path, "acme", "SCRAM-SHA-256", OTHER)
    assert new.by_mechanism() == {"SCRAM-SHA-256": GOOD, "SCRAM-SHA-512": OTHER}
    assert GOOD not in repr(new)
    assert begun(tmp_path, "acme", "SCRAM-SHA-512", OTHER).by_mechanism() == {
        "SCRAM-SHA-256": OTHER,
        "SCRAM-SHA-512": GOOD,
    }
    credentials.write(tmp_path, "acme", new)
    assert credentials.rotating(tmp_path, "acme")
    assert credentials.read(tmp_path, "acme") == new
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}
    with pytest.raises(ClusterError, match="--finish"):
        begun(tmp_path, "acme", "SCRAM-SHA-256")
    credentials.write(tmp_path, "acme", finished(tmp_path, "acme"))
    assert not credentials.rotating(tmp_path, "acme")
    assert credentials.read(tmp_path, "acme") == Credentials(OTHER, "SCRAM-SHA-512")
    assert credentials.read(tmp_path, "acme").by_mechanism() == {
        "SCRAM-SHA-256": OTHER,
        "SCRAM-SHA-512": OTHER,
    }
    third = begun(tmp_path, "acme", "SCRAM-SHA-256", GOOD)
    assert third.by_mechanism() == {"SCRAM-SHA-256": GOOD, "SCRAM-SHA-512": OTHER}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("acme.password", "", "empty"),
        ("acme.password", 'a"b', "would misread"),
        ("acme.password", "ü", "one line of ASCII"),
        ("acme.rotation", "{", "cannot be read"),
        ("acme.rotation", "[]", "cannot be read"),
        ("acme.rotation", '{"mechanism": "PLAIN", "previous": null}', "cannot be read"),
    ],
)
def test_files_that_are_of_no_use(tmp_path: Path, name: str, content: str, expected: str) -> None:
    """One message says which file, and what to do; nothing of it is repeated."""
    keep(tmp_path, "acme", GOOD)
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ClusterError, match=expected) as caught:
        credentials.read(tmp_path, "acme")
    assert str(tmp_path / name) in str(caught.value)
    assert GOOD not in str(caught.value)
