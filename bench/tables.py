"""Tables that enrichment is measured with: threat list, locations, networks, as files."""

from pathlib import Path
from random import Random

from mmdb_writer import MMDBWriter
from netaddr import IPSet

SEED = 1
ADDRESSES, FAR_ADDRESSES, NETWORKS, DOMAINS, DIGESTS = 25_000, 15_000, 10_000, 30_000, 20_000


def threats(folder: Path) -> Path:
    """A CSV list of 100,000 indicators: 40,000 addresses, 10,000 networks, 30,000 domains and
    20,000 digests. Addresses and networks lie in 200.0.0.0/6 and 203.0.113.0 to 203.0.212.255."""
    random = Random(SEED + 1)
    lines = ["indicator,campaign,score"]
    lines += [f"203.0.{113 + n % 100}.{n // 100 % 250},c{n % 40},80" for n in range(ADDRESSES)]
    lines += [f"{200 + n % 3}.{n // 3 % 250}.{n // 750}.9,c,50" for n in range(FAR_ADDRESSES)]
    lines += [f"210.{n // 256}.{n % 256}.0/24,nets,30" for n in range(NETWORKS)]
    lines += [f"bad{n}.example.net,dns,60" for n in range(DOMAINS)]
    lines += [f"{random.getrandbits(256):064x},malware,90" for _ in range(DIGESTS)]
    return _written(folder / "threats.csv", lines)


def networks(folder: Path) -> Path:
    """5,000 networks with a category and a priority."""
    lines = ["net,category,priority"]
    lines += [f"{n % 100}.{n // 100 * 5}.0.0/16,office,3" for n in range(5_000)]
    return _written(folder / "assets.csv", lines)


def locations(folder: Path) -> Path:
    """16,384 networks of the whole IPv4 space with a city each; every address is in one."""
    writer = MMDBWriter(6, "Test-City", languages=["en"], ipv4_compatible=True)
    for n in range(16_384):
        writer.insert_network(
            IPSet([f"{n // 256 * 4}.{n % 256}.0.0/14"]),
            {
                "city": {"names": {"en": f"City {n % 3000}"}},
                "country": {"iso_code": "CH"},
                "location": {"latitude": 47.0 + n / 10_000, "longitude": 8.5},
            },
        )
    path = folder / "city.mmdb"
    writer.to_db_file(str(path))
    return path


def _written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
