"""Reads Sigma rules and field maps from files, and keeps their compiled form in a cache.

A folder is read with all below it, except folders named `tests`. A file named `fieldmap.yml` is a
field map and one named `placeholders.yml` has the values of placeholders, both also for a rule file
beside them; every other `*.yml` or `*.yaml` holds rules.
"""

import glob
import hashlib
import os
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from app.config import Config
from topology.lists import ActiveList
from topology.match.documents import Problem, RuleErrors
from topology.match.ruleset import RuleSet
from topology.rules import Rules

if TYPE_CHECKING:
    from topology.match.bases import Elsewhere
    from topology.match.compile import Compilation, Validate
    from topology.match.placeholders import Placeholders

FIELD_MAP = "fieldmap.yml"
PLACEHOLDERS = "placeholders.yml"
BESIDE = (FIELD_MAP, PLACEHOLDERS)
TESTS = "tests"
SUFFIXES = {".yml", ".yaml"}
KEPT = 8
"""Compiled rule sets in a cache; older ones go."""
CODE = Path(__file__).parents[1] / "topology"
"""Compiled rules hold objects of this code, so the cache key covers it."""


def load_rules(
    paths: Sequence[Path],
    cache: Path | None = None,
    *,
    maps: Sequence[Path] | None = None,
    tenants: Mapping[str, Sequence[Path]] | None = None,
    lists: Mapping[str, ActiveList] | None = None,
    more_lists: bool = False,
    elsewhere: "Callable[[], Elsewhere] | None" = None,
) -> RuleSet:
    """Compile all rules under the paths, or take them from the folder `cache` if unchanged.

    Field maps are those found beside the rules, or `maps` and no others. `tenants`: paths of rules
    that serve one tenant alone. `lists`: those that there are, None: not known; `more_lists`: rules
    may name others; `elsewhere`: what correlations may refer to beside them, which is not kept in a
    cache. Raises RuleErrors with every problem of every file.
    """
    problems: list[Problem] = []
    shared = dict.fromkeys(rule_files(paths))
    owned: dict[Path, str] = {}
    for tenant, own in (tenants or {}).items():
        for file in dict.fromkeys(rule_files(own)):
            if file.name in BESIDE:
                shared[file] = None
            elif file in shared or owned.setdefault(file, tenant) != tenant:
                other = "rules" if file in shared else f"tenants.{owned[file]}.rules"
                text = f"is named by {other} and by tenants.{tenant}.rules; leave one"
                problems.append(Problem(str(file), 1, "", text))
    files = [*shared, *(file for file in owned if file not in shared)]
    texts, given = _texts(files, maps, problems)
    if not texts and not given and not lists:
        return RuleSet(Rules(), (), ())
    owners = {str(file): tenant for file, tenant in owned.items()}
    kept = None
    if cache is not None:
        said = [("lists", repr((lists and sorted(lists.items()), more_lists)))]
        parts = [*texts, ("", ""), *given, ("", ""), *owners.items(), ("", ""), *said]
        kept = cache / f"rules-{_digest(parts)}.pickle"
    if kept is not None and (rules := _load(kept)) is not None:
        return rules
    found = _compilation(
        texts, given, lists, more_lists=more_lists, tenants=owners, elsewhere=elsewhere
    )
    rules = found.whole()
    if kept is not None and not found.bases:
        _keep(kept, rules)
    return rules


def examined(
    paths: Sequence[Path],
    lists: Mapping[str, ActiveList] | None,
    *,
    more_lists: bool,
    maps: Sequence[Path] | None = None,
    elsewhere: "Callable[[], Elsewhere] | None" = None,
    validate: "Validate | None" = None,
) -> "Compilation":
    """All rules under the paths, of which some may not load.

    `validate` says what there is to note of them; all else is as in load_rules. Raises RuleErrors
    for files that cannot be read, and for field maps and placeholders.
    """
    problems: list[Problem] = []
    texts, given = _texts(list(rule_files(paths)), maps, problems)
    return _compilation(
        texts, given, lists, more_lists=more_lists, validate=validate, elsewhere=elsewhere
    )


def _compilation(
    texts: Sequence[tuple[str, str]],
    maps: Sequence[tuple[str, str]],
    lists: Mapping[str, ActiveList] | None,
    *,
    more_lists: bool,
    tenants: Mapping[str, str] | None = None,
    validate: "Validate | None" = None,
    elsewhere: "Callable[[], Elsewhere] | None" = None,
) -> "Compilation":
    """(path, text) pairs compiled, each as its name says, with the field maps `maps`.

    Raises RuleErrors for field maps and placeholders.
    """
    # pySigma is a large part of a start, and not needed for what the cache has.
    from topology.match.compile import compilation, read_field_map  # noqa: PLC0415

    return compilation(
        [item for item in texts if Path(item[0]).name not in BESIDE],
        [read_field_map(path, text) for path, text in maps],
        placeholders_of(texts),
        lists,
        more_lists=more_lists,
        tenants=tenants,
        validate=validate,
        elsewhere=elsewhere,
    )


def configured(config: Config) -> RuleSet:
    """The rules that northbound.yaml names, those of tenants too. Raises RuleErrors."""
    return load_rules(
        [config.path(path) for path in config.rules],
        None if config.unsure(()) else config.state / "cache",
        tenants={
            name: [config.path(path) for path in tenant.rules]
            for name, tenant in config.tenants.items()
        },
        lists=config.active_lists,
        more_lists=config.unsure(("lists",)),
    )


def rules_unsure(config: Config) -> bool:
    """Whether rules are not read that northbound.yaml means: nothing is said of rules that are not
    there."""
    paths: list[tuple[str | int, ...]] = [("tenants", name, "rules") for name in config.tenants]
    return any(map(config.unsure, [("rules",), ("tenants",), *paths]))


def unknown_in_lists(config: Config, rules: RuleSet) -> list[str]:
    """Rules that `alerts` of lists name and that are not there, with lines."""
    every = [
        *(entry.rule for entry in rules.rules.events),
        *(entry.rule for entry in rules.rules.correlations),
    ]
    known = {name for rule in every for name in (rule.id, rule.name)}
    return [
        config.problem(
            ("lists", name, "alerts", number, key, at),
            f"saw {rule!r}, expected the id or name of a rule; no file of `rules` has it",
        )
        for name, listed in config.lists.items()
        for number, each in enumerate(listed.alerts)
        for key, named in (("rules", each.rules or ()), ("without", each.without))
        for at, rule in enumerate(named)
        if rule not in known
    ]


def user_cache() -> Path | None:
    """Where commands without a configuration keep compiled rules; None without a home."""
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(given) if given else Path.home() / ".cache") / "northbound"
    except RuntimeError:
        return None


def rule_files(paths: Sequence[Path]) -> Iterable[Path]:
    """Files with rules, field maps and placeholders, each once, whatever leads to it."""
    seen: set[Path] = set()
    for file in _rule_files(paths):
        place = file.resolve()
        if place not in seen:
            seen.add(place)
            yield file


def _rule_files(paths: Sequence[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_file():
            yield path
            for beside in map(path.with_name, BESIDE):
                if beside.is_file() and beside not in paths:
                    yield beside
            continue
        for file in sorted(path.rglob("*")):
            below = file.relative_to(path).parts[:-1]
            if file.suffix in SUFFIXES and TESTS not in below and file.is_file():
                yield file


def test_files(paths: Sequence[Path]) -> list[Path]:
    """Files of streams: that with the name of a rule file in `tests` beside it, and of a folder all
    in its `tests` and in those below."""
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found.update(path.rglob(f"{TESTS}/*"))
        else:
            found.update((path.parent / TESTS).glob(f"{glob.escape(path.stem)}.*"))
    return sorted(file for file in found if file.suffix in SUFFIXES and file.is_file())


def placeholders_of(texts: Iterable[tuple[str, str]]) -> "Placeholders":
    """What placeholders stand for; of a name that several files have, the last one's. Raises
    RuleErrors."""
    from topology.match.placeholders import read_placeholders  # noqa: PLC0415  # as in _compilation

    found: dict[str, Sequence[str]] = {}
    for path, text in texts:
        if Path(path).name == PLACEHOLDERS:
            found |= read_placeholders(path, text)
    return found


def _texts(
    files: Sequence[Path], maps: Sequence[Path] | None, problems: list[Problem]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Paths and texts of all files, and of the field maps that hold: `maps`, or those among them.

    Raises RuleErrors with `problems` and all that cannot be read.
    """
    if maps is not None:
        files = [file for file in files if file.name != FIELD_MAP]
    texts = [(str(file), text) for file, text in read_files(files, problems)]
    given = [(str(file), text) for file, text in read_files(maps or (), problems)]
    if problems:
        raise RuleErrors(problems)
    return texts, given or [item for item in texts if Path(item[0]).name == FIELD_MAP]


def read_files(files: Iterable[Path], problems: list[Problem]) -> Iterable[tuple[Path, str]]:
    """Files with their texts; what cannot be read goes to `problems`."""
    for file in files:
        try:
            yield file, file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            text = f"not UTF-8 at byte {error.start}; save it as UTF-8"
            problems.append(Problem(str(file), 1, "", text))
        except OSError as error:
            problems.append(Problem(str(file), 1, "", f"cannot be read: {error.strerror}"))


def _digest(texts: Sequence[tuple[str, str]]) -> str:
    """Changes with every file, with this code and with the libraries it compiles with."""
    digest = hashlib.blake2b(digest_size=16)
    for name in ("pysigma", "ahocorasick-rs", "polars"):
        digest.update(f"{name} {version(name)}\0".encode())
    for source in sorted((*CODE.glob("*.py"), *(CODE / "match").glob("*.py"))):
        digest.update(source.read_bytes())
    for path, text in texts:
        digest.update(f"{path}\0{text}\0".encode())
    return digest.hexdigest()


def _load(file: Path) -> RuleSet | None:
    """The cached form; None where there is none that can be used."""
    try:
        rules = pickle.loads(file.read_bytes())  # noqa: S301  # written by _keep, for its owner alone
    except Exception:
        return None
    return rules if isinstance(rules, RuleSet) else None


def _keep(file: Path, rules: RuleSet) -> None:
    """Write the cache; without one, rules are compiled at each start."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(pickle.dumps(rules))
        fresh.chmod(0o600)
        fresh.replace(file)
        older = sorted(file.parent.glob("rules-*.pickle"), key=lambda entry: entry.stat().st_mtime)
        for entry in older[:-KEPT]:
            entry.unlink(missing_ok=True)
    except OSError:
        return
