"""Passwords of tenants: made here, or given under conditions that are told all at once.

A password stands between quotes in Java's JAAS line, after a colon in YAML, after = in properties
files, and where Logstash and Vector look for ${names}: signs that mean something there are no part
of one.
"""

import re
import secrets
import string
from collections.abc import Collection, Iterable
from typing import Final

GENERATED: Final = 32
"""Letters and digits of a password that is made here: 190 bits."""
SHORTEST: Final = 14
LONGEST: Final = 128
SIGNS: Final = "-._~+=:@/!"
ALLOWED: Final = string.ascii_letters + string.digits + SIGNS
CLASSES: Final = (
    string.ascii_lowercase,
    string.ascii_uppercase,
    string.digits,
    SIGNS,
)
ENOUGH_CLASSES: Final = 3
ENOUGH_DISTINCT: Final = 8
OF_ITS_OWN: Final = 8
"""How many letters and digits a password has beside common words, runs and years."""

CONDITIONS: Final = (
    f"{SHORTEST} to {LONGEST} signs; three of: a-z, A-Z, 0-9, {' '.join(SIGNS)}; "
    f"{ENOUGH_DISTINCT} different ones; {OF_ITS_OWN} letters and digits that belong to no common "
    "word, run on the keyboard or year"
)

_WORDS: Final = frozenset(
    re.findall(
        "[a-z]+",
        """
password passwort passphrase pass pwd secret welcome willkommen login logon letmein changeme
change default temp temporary test testing example sample demo guest user admin administrator root
system master super access account service server database network security siem splunk elastic
logstash kafka northbound audit qumulo tenant company office summer winter spring autumn fall
monday tuesday wednesday thursday friday saturday sunday january february march april may june
july august september october november december hello love iloveyou baby angel princess sunshine
flower monkey dragon tiger lion football soccer baseball hockey batman superman starwars pokemon
ninja shadow freedom trustno michael jordan jessica daniel charlie thomas hunter killer cheese
cookie chocolate
""",
    )
)
"""What the known passwords that satisfy the classes are made of; digits, years and signs around a
word, letters written as digits, and several words in a row are no different password."""
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)
_RUN: Final = 3
_WRITTEN_AS: Final = str.maketrans("013457@!", "oleastai")
_YEAR: Final = re.compile(r"(19|20)\d\d")


class PasswordError(ValueError):
    """A given password cannot be taken; `problems` says why, and repeats nothing of it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def generate() -> str:
    """A random password that satisfies the conditions."""
    while True:
        password = "".join(
            secrets.choice(string.ascii_letters + string.digits) for _ in range(GENERATED)
        )
        if not problems(password):
            return password


def check(password: str, names: Iterable[str] = ()) -> str:
    """The password, if it may be used. `names`: of its user, which count as common words.

    Raises PasswordError with everything that is wrong.
    """
    found = problems(password, names)
    if found:
        raise PasswordError(found)
    return password


def problems(password: str, names: Iterable[str] = ()) -> list[str]:
    """What is wrong with a password, without a sign of it."""
    found = unwritable(password)
    if not SHORTEST <= len(password) <= LONGEST:
        found.append(f"the password has {len(password)} signs; expected {SHORTEST} to {LONGEST}")
    classes = sum(any(sign in password for sign in each) for each in CLASSES)
    if classes < ENOUGH_CLASSES:
        found.append(
            f"the password has signs of {classes} of the classes a-z, A-Z, 0-9 and "
            f"{' '.join(SIGNS)}; expected {ENOUGH_CLASSES}"
        )
    if len(set(password)) < ENOUGH_DISTINCT:
        found.append(
            f"the password has {len(set(password))} different signs; expected at least "
            f"{ENOUGH_DISTINCT}"
        )
    words = {*_WORDS, *(part for name in names for part in _parts(name))}
    own = _of_its_own(password, words)
    if own < OF_ITS_OWN:
        found.append(
            f"the password is a known one: without common words, runs on the keyboard and years it "
            f"has {own} letters and digits; expected at least {OF_ITS_OWN}"
        )
    return found


def unwritable(password: str) -> list[str]:
    """What keeps a password from standing in the files of a bundle as it is."""
    strange = sum(sign not in ALLOWED for sign in password)
    text = (
        f"the password has {strange} sign(s) that some client's configuration would misread; "
        f"expected a-z, A-Z, 0-9 and {' '.join(SIGNS)}"
    )
    return [text] if strange else []


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[^a-z0-9]+", name.lower()) if len(part) >= _RUN]


def _of_its_own(password: str, words: Collection[str]) -> int:
    """The fewest letters and digits that remain when words, runs and years are taken out."""
    text = password.lower()
    plain = text.translate(_WRITTEN_AS)
    best = list(range(len(text) + 1))
    for end in range(1, len(text) + 1):
        best[end] = min(
            best[end - 1] + text[end - 1].isalnum(),
            *(
                best[start]
                for start in range(end - _RUN + 1)
                if text[start:end] in words
                or plain[start:end] in words
                or _is_run(text[start:end])
                or _YEAR.fullmatch(text[start:end])
            ),
            len(text),
        )
    return best[-1]


def _is_run(text: str) -> bool:
    """Neighbours on a row, in either direction, or one sign again and again."""
    return len(set(text)) == 1 or any(
        text in row or text[::-1] in row for row in _ROWS if len(text) <= len(row)
    )
