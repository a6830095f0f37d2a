"""`northbound try`: what an unknown log is, and what would come of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from app.commands.options import JsonOption, compiled
from app.output import WRONG_USAGE, as_json, errors, fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.normalizer_files import Loaded
    from app.trying import Candidate, Described
    from topology.formats import Decoded
    from topology.match.ruleset import RuleSet

BEGIN = 3
"""Events and lines that are shown."""
LONG = 2_000
"""Characters of an event that are shown."""
NORMALIZERS = Path("normalizers")
LONGEST = 1 << 26
"""Bytes of a line."""
BINARY = 0.3
"""Share of NULs and the like above which a file is no log."""
CONTROLS = 0.03
VARIED = 10
"""So many kinds of control characters, with that share, are in no text: a log that has some of them
for delimiters has the same ones in each line."""
FORMS = {
    b"\x1f\x8b": "packed with gzip; unpack it first: gunzip",
    b"PK\x03\x04": "a zip archive; unpack it first: unzip",
    b"BZh": "packed with bzip2; unpack it first: bunzip2",
    b"\xfd7zXZ\x00": "packed with xz; unpack it first: unxz",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it first: unzstd",
    b"ElfFile\x00": "a Windows event log; export it as XML first: wevtutil qe FILE /lf:true /f:xml",
    b"\xff\xfe": "UTF-16; write it as UTF-8 first: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16; write it as UTF-8 first: iconv -f UTF-16 -t UTF-8",
}
"""Files that begin so are no lines of text yet."""


def try_log(
    file: Annotated[Path, typer.Argument(help="A log, one record a line.")],
    *,
    lines: Annotated[int, typer.Option(min=1, help="Look at so many lines.")] = 1_000,
    normalizers: Annotated[
        list[Path] | None,
        typer.Option(help="Normalizers or folders of them to try; ./normalizers if it is there."),
    ] = None,
    rules: Annotated[list[Path] | None, typer.Option(help="Rules that might fire.")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write a normalizer in YAML to begin with.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read an unknown log: the format or normalizer that fits best, the events it gives, and the
    rules that would fire. Needs no Kafka and no northbound.yaml.

    Example: northbound try /var/log/auth.log --rules rules --write auth.yaml
    """
    from app import trying
    from topology.formats import decode

    if write is not None:
        _check(write)
    found = _read(file, lines)
    ruleset = _rules(rules) if rules else None
    ranked = trying.candidates(found)
    best = ranked[0] if ranked[0].share >= trying.ENOUGH else None
    options = trying.options_of(best.format, found) if best else {}
    own = sorted(
        (
            trying.described(path, loaded, found)
            for path, loaded in _normalizers(normalizers or _default())
        ),
        key=lambda each: -each.share,
    )
    chosen = own[0] if own and own[0].share >= trying.ENOUGH else None
    if chosen is not None:
        loaded = chosen.loaded
        decoded = decode(loaded.format, trying.raw(found), loaded.options, loaded.normalizer)
    else:
        decoded = decode(best.format if best else "plain", trying.raw(found), options)
    firing = trying.fired(ruleset, decoded) if ruleset is not None else {}
    if as_json(json):
        _print_json(file, ranked, chosen, decoded, firing)
    else:
        _print(file, found, ranked, options, own, chosen, decoded)
        if ruleset is not None:
            _print_rules(len(ruleset.rules.events), firing)
    if write is not None:
        _write(write, trying.skeleton(write.stem, best.format if best else None, found))


def _read(file: Path, count: int) -> list[bytes]:
    found: list[bytes] = []
    try:
        with file.open("rb") as source:
            begin = source.peek(8)
            for mark, what in FORMS.items():
                if begin.startswith(mark):
                    fail(f"{file}: {what}")
            for number in range(1, count + 1):
                line = source.readline(LONGEST)
                if len(line) == LONGEST:
                    fail(f"{file}:{number}: a line of {LONGEST >> 20} MiB or more; expected a log")
                if line.strip():
                    found.append(line.rstrip(b"\r\n"))
    except OSError as error:
        fail(f"{file}: {error.strerror}", WRONG_USAGE)
    if not found:
        fail(f"{file}: nothing in it to look at")
    if _is_binary(b"".join(found)):
        fail(f"{file}: looks like no text; unpack it first, if it is packed")
    return found


def _is_binary(whole: bytes) -> bool:
    if sum(each < 9 for each in whole) > BINARY * len(whole):
        return True
    kinds = {each: whole.count(each) for each in (*range(9), *range(14, 27), *range(28, 32), 127)}
    varied = sum(count > 0 for count in kinds.values())
    return varied >= VARIED and sum(kinds.values()) > CONTROLS * len(whole)


def _check(write: Path) -> None:
    """Said before any work is done."""
    if write.exists():
        fail(f"{write} is there already; --write never writes over a file", WRONG_USAGE)
    if not write.parent.is_dir():
        fail(f"{write}: there is no folder {write.parent}; make it first", WRONG_USAGE)


def _rules(paths: list[Path]) -> "RuleSet":
    found = compiled(paths)
    if not found.rules.events:
        fail(f"{', '.join(map(str, paths))}: no rules; expected files named *.yml", WRONG_USAGE)
    return found


def _default() -> list[Path]:
    return [NORMALIZERS] if any(NORMALIZERS.glob("*.yaml")) else []


def _normalizers(paths: list[Path]) -> "Iterator[tuple[Path, Loaded]]":
    from app.commands.normalizers import files_of
    from app.config import ConfigError
    from app.normalizer_files import load_normalizer

    for path in files_of(paths):
        try:
            yield path, load_normalizer(path, "UTC")
        except ConfigError as error:
            fail(error)


def _print_json(
    file: Path,
    ranked: "list[Candidate]",
    chosen: "Described | None",
    decoded: "Decoded",
    firing: dict[str, int],
) -> None:
    from app import trying

    whole = {
        "file": str(file),
        "format": ranked[0].format if ranked[0].share >= trying.ENOUGH else "plain",
        "normalizer": None if chosen is None else str(chosen.path),
        "formats": [each._asdict() for each in ranked if each.share],
        "events": trying.events(decoded),
        "failures": decoded.failures.select("row", "stage", "reason").to_dicts(),
        "rules": firing,
    }
    sys.stdout.buffer.write(orjson.dumps(whole) + b"\n")


def _print(
    file: Path,
    lines: list[bytes],
    ranked: "list[Candidate]",
    options: "Mapping[str, str]",
    own: "list[Described]",
    chosen: "Described | None",
    decoded: "Decoded",
) -> None:
    from app import trying

    print(f"{file}: {_lines(len(lines))} looked at")
    odd = sum(not trying.is_utf8(line) for line in lines)
    if odd:
        print(f"{_lines(odd)} not in UTF-8: events have the exact bytes in unmapped.raw_base64")
    print()
    fits = [each for each in ranked if each.share >= trying.ENOUGH]
    if chosen is not None:
        print(f"Best: {chosen.path} describes {chosen.share:.0%} of the lines.")
        print(f"      sources: {{NAME: {{normalizer: {chosen.path}}}}}\n")
    elif fits:
        print(f"Best: format {fits[0].format}, which reads {fits[0].share:.0%} of the lines.")
        told = "".join(f", options: {{{name}: '{value}'}}" for name, value in options.items())
        print(f"      sources: {{NAME: {{format: {fits[0].format}{told}}}}}\n")
    else:
        print("No format reads half of the lines: they are plain text, or need a pattern")
        print("(format: regexp). --write begins such a normalizer.\n")
    for each in ranked:
        if each.share:
            print(f"  {each.format:<18} {each.share:>5.0%} of the lines, {each.fields:.0f} fields")
    for entry in own:
        if entry.share:
            print(f"  {entry.path!s:<18} {entry.share:>5.0%} described")
    print("\nEvents:")
    for event in trying.events(decoded)[:BEGIN]:
        text = orjson.dumps(event).decode()
        print(text if len(text) <= LONG else f"{text[:LONG]}… ({len(text):,} characters)")
    failures = decoded.failures
    if failures.height:
        kept = (
            "fails, to be kept as a dead letter:"
            if failures.height == 1
            else ("fail, to be kept in dead letters, such as")
        )
        print(f"\n{_lines(failures.height)} {kept}")
        for failure in failures.head(BEGIN).iter_rows(named=True):
            print(f"  line {failure['row'] + 1}: {failure['stage']}: {failure['reason']}")


def _print_rules(count: int, firing: dict[str, int]) -> None:
    print()
    for title, hits in sorted(firing.items(), key=lambda each: -each[1]):
        print(f"Rule: {title}: {hits} {'event' if hits == 1 else 'events'}")
    if not firing:
        print(f"Rules: none of {count} matches these events.")


def _lines(count: int) -> str:
    return f"{count} {'line' if count == 1 else 'lines'}"


def _write(path: Path, text: str) -> None:
    from app.config import ConfigError
    from app.normalizer_files import load_normalizer

    try:
        with path.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        fail(f"{path} is there already; --write never writes over a file", WRONG_USAGE)
    except OSError as error:
        fail(f"{path}: {error.strerror}", WRONG_USAGE)
    try:
        load_normalizer(path, "UTC")
    except ConfigError as error:
        fail(error)
    errors.print(f"{path} is a normalizer to begin with: docs/normalizers.md", markup=False)
