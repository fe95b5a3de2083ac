"""Write the pumps that this example trains on: which of them fails within a month?"""

import csv
import math
import random
from pathlib import Path

SITES = ("harbour", "plant", "quarry")
HERE = Path(__file__).parent


def rows(count: int, seed: int) -> list[dict[str, object]]:
    """Return pumps that are worn by hours, vibration and heat, in the quarry more than elsewhere."""
    luck = random.Random(seed)
    found = []
    for number in range(count):
        hours, vibration = luck.uniform(0, 9000), luck.gammavariate(2.0, 1.5)
        heat, site = luck.gauss(60, 12), luck.choice(SITES)
        worn = 0.0004 * (hours - 4500) + 0.5 * (vibration - 3) + (1.2 if site == "quarry" else 0.0)
        worn += 1.5 * math.exp(-(((heat - 85) / 10) ** 2)) - 0.6
        fails = luck.random() < 1 / (1 + math.exp(-1.6 * worn))
        found.append(
            {
                "pump": f"P{seed}-{number:04d}",
                "hours": round(hours, 1),
                "vibration": round(vibration, 3),
                "heat": round(heat, 1),
                "site": site,
                "fails": int(fails),
            }
        )
    return found


if __name__ == "__main__":
    for name, count, seed in (("train", 600, 1), ("test", 300, 2)):
        with (HERE / "data" / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            made = rows(count, seed)
            out = csv.DictWriter(file, made[0].keys(), lineterminator="\n")
            out.writeheader()
            out.writerows(made)
