"""`faust -A tests.runtime.worker worker`: the verification app, set up by VERIFY (JSON)."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from app.runtime import faust_app
from app.runtime.faust_app import App
from app.runtime.settings import STALL_S
from app.runtime.slots import Slot
from tests.runtime.stalls import stall
from tests.runtime.verification import Counting, changelog_of

config: dict[str, Any] = json.loads(os.environ["VERIFY"])
topic, output = config["topic"], config["output"]

if "identity" in config:
    # A worker that has another one's names, which its state directory would prevent.
    slot = Slot(config["identity"], 0, os.open("/dev/null", os.O_RDONLY))
    faust_app.take_slot = lambda _: slot

app = App(
    config.get("id", "verify"),
    client={"bootstrap.servers": config["bootstrap"]},
    state=Path(config["state"]),
    engine_options=config.get("options", {}),
    stall_timeout=config.get("stall_timeout", STALL_S),
)
if "stall" in config:
    stall(app, config["stall"], Path(config["stall_file"]))

if config.get("agent"):
    # The same work as an ordinary agent: half of the output goes out, then it sleeps.
    app.add_engine(
        "verify", [topic], group=config["group"], changelogs={"totals": changelog_of(topic)}
    )
    out = app.topic(output)

    @app.agent(app.topic(topic))
    async def count(stream: Any) -> None:
        """Count records per key and pass them on."""
        async for batch in stream:
            store = batch.store("totals")
            half = len(batch) // 2
            for key, value in zip(batch.keys[:half], batch.values[:half], strict=True):
                store.put(key, str(int(store.get(key) or 0) + 1).encode())
                await out.send(value=value)
            await asyncio.sleep(config.get("sleep", 0.0))
            if config.get("poison", "").encode() in batch.values:
                raise ValueError("poison")
            for key in batch.keys[half:]:
                store.put(key, str(int(store.get(key) or 0) + 1).encode())
            batch.send(output, batch.values[half:])

else:
    poison = config.get("poison")
    app.add_sub_topology(
        Counting(
            output,
            sleep=config.get("sleep", 0.0),
            poison=poison.encode() if poison else None,
            deadly=config.get("deadly", False),
        ),
        [topic],
        group=config["group"],
        changelogs={"totals": changelog_of(topic)},
    )
