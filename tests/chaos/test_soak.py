"""What the soak takes for flat memory and for a leak."""

from random import Random

import pytest

from chaos.experiments.soak import memory


def samples(minutes: float, per_minute: float, seed: int) -> list[tuple[float, float]]:
    """A process of 250 MiB that warms up, every second, with what batches take and give back,
    and other noise."""
    random = Random(seed)
    found = []
    for number in range(int(minutes * 60)):
        at = float(number)
        warm = 250 * (1 - 0.4 * 0.5 ** (at / (minutes * 6)))
        batch = random.expovariate(1 / 60)
        found.append((at, warm + per_minute * at / 60 + batch + random.uniform(-3, 3)))
    return found


@pytest.mark.parametrize("minutes", [4, 30])
@pytest.mark.parametrize("number", range(20))
def test_flat_memory_passes(seed: int, minutes: float, number: int) -> None:
    """Warming up and noise are no leak."""
    found = memory(samples(minutes, 0.0, seed + number))
    assert found.flat, found


@pytest.mark.parametrize(("minutes", "per_minute"), [(4, 100.0), (30, 3.0)])
@pytest.mark.parametrize("number", range(20))
def test_a_leak_is_found(seed: int, minutes: float, per_minute: float, number: int) -> None:
    """A third of the memory in half an hour, or more in less; its slope is told."""
    found = memory(samples(minutes, per_minute, seed + number))
    assert not found.flat, found
    assert found.per_minute == pytest.approx(per_minute, rel=0.5)
