"""The season's story with other visits, with a whole day before the change, and with no change at all.

Each run is the drill `season` with real processes on a simulated clock. Printed are the simulated minutes after the
change of each thing that must happen; where nothing changes, what was told and trained all the same.
"""

from __future__ import annotations

import argparse
import json
import time

from mainstay.config.clocks import clock_from
from mainstay.drills import perform, season

ASKED = ("page", "training", "gate", "canary", "everybody", "recovery")


def main() -> None:
    """Play each, print a line for each."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    asked.add_argument("--full", action="store_true", help="all visits of the day before, not every twenty-fifth")
    asked.add_argument("--no-season", action="store_true", help="summer goes on")
    asked.add_argument("--quiet", action="store_true", help="only the last line of each")
    given = asked.parse_args()
    for seed in given.seeds:
        drill = season.story(
            seed=seed, day_rate=season.RATE if given.full else season.THINNED, changes=not given.no_season
        )
        began = time.monotonic()
        report = perform.run(
            drill,
            real=clock_from({}),
            say=(lambda _: None) if given.quiet else lambda text: print(text, flush=True),
        )
        found = {one.name: one for one in report.found}
        told = {
            "seed": seed,
            "passed": report.passed,
            "minutes": {name: found[name].after_minutes for name in ASKED},
            "seen": {name: found[name].seen for name in ("harm", "training", "recovery", "answered")},
            "pages": [one["title"] for one in report.incidents if one["severity"] == "page"],
            "versions": report.end["versions"],
            "requests": sum(phase["requests"] for phase in report.phases),
            "missed": list(report.missed),
            "seconds": round(time.monotonic() - began),
        }
        print(json.dumps(told, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
