"""Kill or stop loops at every failpoint, one and three at once, on both stores: is each effect there exactly once?

`python bench/loop_faults.py [--stores sqlite,postgresql] [--loops 1,3] [--out bench/results/loop_faults.json]`

Real processes (tests/faults_kit.py): each loop meets the action once, at a random one of the first times that it
reaches the place. A version goes from its gate to certified meanwhile. Counted at the end: its moves (each once, in
order), the route's epochs (without gap), entries of the ledger (one), pairs of evidence (one for each request), where
MLflow's alias points, and how often that was told: once for each epoch, and once more where a loop died or stood still
between telling and noting it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import faults_kit as kit  # noqa: E402 - after the path
import postgres_kit  # noqa: E402 - after the path
from loop_kit import Shop, make_shop  # noqa: E402 - after the path
from mainstay.config import failpoints  # noqa: E402 - after the path
from mainstay.store.engine import Store  # noqa: E402 - after the path
from mainstay.testing.clock import FakeClock  # noqa: E402 - after the path

TIMES = {"lease.taken": 5, "rollout.read": 8, "rollout.judged": 5, "move.retired": 1, "turn.ended": 5}
"""How often a loop surely reaches a place, where not as often as it moves (3)."""


@contextmanager
def database(kind: str, source: Shop) -> Iterator[tuple[Callable[[], str], Callable[[str], None] | None]]:
    """Give what makes a new store's address, empty for a file in the project, and what fills it."""
    if kind == "sqlite":
        yield (lambda: ""), None
        return

    def fill(url: str) -> None:
        with closing(Store.open(f"sqlite:///{source.state}/store.db", clock=FakeClock())) as store:
            postgres_kit.fill(url, store)

    with postgres_kit.running() as server:
        yield server.new_database, fill


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--loops", default="1,3")
    parser.add_argument("--places", default=",".join(failpoints.PLACES))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    luck, results = random.Random(7), []
    with tempfile.TemporaryDirectory() as temporary, kit.zygotes() as zygote:
        source = make_shop(Path(temporary) / "source" / "shop")
        for store in given.stores.split(","):
            with database(store, source) as (address, fill):
                runs = [
                    (place, action, loops)
                    for place in given.places.split(",")
                    for action in ("kill", "stop")
                    for loops in map(int, given.loops.split(","))
                ]
                for place, action, loops in runs:
                    folder = Path(tempfile.mkdtemp(dir=temporary))
                    shop = kit.prepared(source, folder, url=address(), fill=fill)
                    nth = luck.randint(1, TIMES.get(place, 3))
                    found = one(shop, zygote, folder, place=place, action=action, nth=nth, loops=loops)
                    results.append(
                        {"store": store, "place": place, "action": action, "loops": loops, "nth": nth, **found}
                    )
                    print(json.dumps(results[-1]), flush=True)
        source.close()
    table(results)
    if given.out is not None:
        given.out.write_text(json.dumps(results, indent=1) + "\n")


def one(shop: Shop, zygote: kit.Zygote, folder: Path, **how: Any) -> dict[str, Any]:
    """Do one rollout and return what came of it."""
    try:
        found = kit.one_rollout(shop, zygote, folder, patience_s=120, **how)
    except AssertionError as error:
        return {"wrong": [str(error)[-300:]]}
    finally:
        shop.close()
    facts = {"fell": found.fell, "took_over": found.took_over, "told": found.told, "seconds": round(found.seconds, 1)}
    return {"wrong": found.wrong(), "moves": len(found.moves), "epochs": len(found.epochs), **facts}


def table(results: list[dict[str, Any]]) -> None:
    """Print a line for each place."""
    print("\n| place | rollouts | loops that died | that stood still | another led meanwhile | right | alias told |")
    print("|---|---|---|---|---|---|---|")
    for place in dict.fromkeys(one["place"] for one in results):
        mine = [one for one in results if one["place"] == place]
        died = sum(one.get("fell", 0) for one in mine if one["action"] == "kill")
        stood = sum(one.get("fell", 0) for one in mine if one["action"] == "stop")
        over = sum(one.get("took_over", False) for one in mine)
        right = sum(not one["wrong"] for one in mine)
        told = sorted({one.get("told", 0) for one in mine})
        sums = f"{died} | {stood} | {over} | {right} of {len(mine)}"
        print(f"| `{place}` | {len(mine)} | {sums} | {told[0]} to {told[-1]} |")


if __name__ == "__main__":
    main()
