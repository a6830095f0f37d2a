"""`northbound try`: what an unknown log is, and what would come of it."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from app.commands.options import JsonOption, compiled
from app.output import WRONG_USAGE, as_json, errors, fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.normalizer_files import Loaded
    from app.trying import Candidate, Described
    from topology.formats import Decoded

BEGIN = 3
"""Events and lines that are shown."""
NORMALIZERS = Path("normalizers")
BINARY = 0.3
"""Share of NULs and the like above which a file is no log."""


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

    found = _read(file, lines)
    ranked = trying.candidates(found)
    best = ranked[0] if ranked[0].share >= trying.ENOUGH else None
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
        decoded = decode(best.format if best else "plain", trying.raw(found), {})
    firing = trying.fired(compiled(rules), decoded) if rules else {}
    if as_json(json):
        _print_json(file, ranked, chosen, decoded, firing)
    else:
        _print(file, len(found), ranked, own, chosen, decoded, firing)
    if write is not None:
        _write(write, trying.skeleton(write.stem, best.format if best else None, found))


def _read(file: Path, count: int) -> list[bytes]:
    try:
        with file.open("rb") as source:
            found = [line.rstrip(b"\r\n") for line in islice(source, count) if line.strip()]
    except OSError as error:
        fail(f"{file}: {error.strerror}", WRONG_USAGE)
    if not found:
        fail(f"{file}: nothing in it to look at")
    whole = b"".join(found)
    if sum(each < 9 for each in whole) > BINARY * len(whole):
        fail(f"{file}: looks like no text; unpack it first, if it is packed")
    return found


def _default() -> list[Path]:
    return [NORMALIZERS] if NORMALIZERS.is_dir() else []


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
    count: int,
    ranked: "list[Candidate]",
    own: "list[Described]",
    chosen: "Described | None",
    decoded: "Decoded",
    firing: dict[str, int],
) -> None:
    from app import trying

    print(f"{file}: {count} lines looked at\n")
    fits = [each for each in ranked if each.share >= trying.ENOUGH]
    if chosen is not None:
        print(f"Best: {chosen.path} describes {chosen.share:.0%} of the lines.")
        print(f"      sources: {{NAME: {{normalizer: {chosen.path}}}}}\n")
    elif fits:
        print(f"Best: format {fits[0].format}, which reads {fits[0].share:.0%} of the lines.")
        print(f"      sources: {{NAME: {{format: {fits[0].format}}}}}\n")
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
        print(orjson.dumps(event).decode())
    failures = decoded.failures
    if failures.height:
        print(f"\n{failures.height} lines fail, to be kept in dead letters, such as")
        for failure in failures.head(BEGIN).iter_rows(named=True):
            print(f"  line {failure['row'] + 1}: {failure['stage']}: {failure['reason']}")
    for title, hits in sorted(firing.items(), key=lambda each: -each[1]):
        print(f"\nRule: {title}: {hits} events")


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
