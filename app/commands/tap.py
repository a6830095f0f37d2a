"""`northbound tap`: what goes through a stage, live."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from app.commands.options import (
    ConfigOption,
    CountOption,
    FollowOption,
    FromStartOption,
    configured,
)
from app.config import DEFAULT_PATH, Config
from app.output import WRONG_USAGE, errors, fail

if TYPE_CHECKING:
    from app.tap import Tap


def tap(
    stage: Annotated[str, typer.Argument(help="normalize | mutate | filter | enrich | match")],
    *,
    where: Annotated[
        list[str] | None,
        typer.Option(help="'attribute: value', with Sigma's modifiers. Repeatable; all must hold."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="One source only.")] = None,
    from_start: FromStartOption = False,
    follow: FollowOption = True,
    count: CountOption = 0,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show what comes out of a stage, as JSON lines; `match`: events that rules match, with these.

    Works it out from the raw topics, as northbound.yaml is now; workers do not notice. A line that
    a stage breaks on is shown with its reason, unless --where chooses events.

    Example: northbound tap mutate --where 'file.path|startswith: /projects/'
    """
    from app.reading import ReadingError, read_batches

    settings = configured(config)
    if source is not None and source not in settings.sources:
        fail(f"no source {source}; expected one of {', '.join(settings.sources)}", WRONG_USAGE)
    topics = [settings.names.raw(name) for name in ([source] if source else settings.sources)]
    chosen = tap_of(settings, stage, where or [])
    if follow and not from_start and sys.stdout.isatty():
        errors.print(f"Waiting for new records of {', '.join(topics)}. Ctrl-C ends.", markup=False)
    out = sys.stdout.buffer
    seen = 0
    try:
        for messages in read_batches(
            settings.client(), topics, from_start=from_start, follow=follow
        ):
            lines = chosen.lines(messages)
            if count:
                lines = lines[: count - seen]
            seen += len(lines)
            out.writelines(line + b"\n" for line in lines)
            out.flush()
            if count and seen >= count:
                return
    except ReadingError as error:
        fail(error)
    except KeyboardInterrupt:
        return


def tap_of(settings: Config, stage: str, wanted: list[str]) -> "Tap":
    """A stage of a deployment; ends the command with what is wrong with it."""
    from app.config import ConfigError
    from app.origins import Origins
    from app.planning import build_plan
    from app.tap import STAGES, Tap, where
    from topology.filters import NO_FILTERS, FilterErrors

    name = next((each for each in STAGES if each == stage), None)
    if name is None:
        fail(f"no stage {stage!r}; expected one of {', '.join(STAGES)}", WRONG_USAGE)
    detection: dict[str, Any] = {}
    for text in wanted:
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError:
            found = None
        if not isinstance(found, dict):
            fail(f"--where: saw {text!r}, expected 'attribute: value'", WRONG_USAGE)
        detection |= found
    raw = [settings.names.raw(name) for name in settings.sources]
    try:
        plan = build_plan(settings, Origins(settings.client(), raw))
        return Tap(plan, name, where(detection) if detection else NO_FILTERS)
    except ConfigError as error:
        fail(error)
    except FilterErrors as error:
        problems = [
            f"--where: {each.key.removeprefix('it.')}: {each.text}" for each in error.problems
        ]
        fail("\n".join(problems), WRONG_USAGE)
