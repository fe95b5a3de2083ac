"""What one window of ten minutes costs the watch, from 1,000 to 10,000,000 requests: `make bench-scale`.

`python bench/watch_scale.py [--most 10000000] [--write]`

Records of a text model (message, channel, months; a segment; a declared key; refusals, failures and gaps among them)
are decoded as the journal keeps them and go through `watch_turn` with a store on disk, 5,000 at a time as the loop
reads them; their making is not counted. Seconds are of the processor. Writes bench/results/watch-scale.json, and with
`--write` the table in docs/benchmarks.md; it measures, it is not a test.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "src"))
sys.path.insert(0, str(HERE / "peers"))

import msgspec  # noqa: E402 - after the path
import numpy as np  # noqa: E402 - after the path
from serving_page import write  # noqa: E402 - after the path
from watching import resident  # noqa: E402 - after the path

from mainstay.config.settings import Settings  # noqa: E402 - after the path
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Policy, Role, Task  # noqa: E402 - after the path
from mainstay.core.events import Arm, Event, Kind, Trust  # noqa: E402 - after the path
from mainstay.core.profiles import Profile  # noqa: E402 - after the path
from mainstay.journal.frames import decode  # noqa: E402 - after the path
from mainstay.models.answers import Answer  # noqa: E402 - after the path
from mainstay.models.profiles import build_profile  # noqa: E402 - after the path
from mainstay.models.signals import RowSignals, word_set  # noqa: E402 - after the path
from mainstay.store import blocks  # noqa: E402 - after the path
from mainstay.store.engine import Store  # noqa: E402 - after the path
from mainstay.testing.clock import FakeClock  # noqa: E402 - after the path
from mainstay.watch import streams  # noqa: E402 - after the path
from mainstay.watch.turn import watch_turn  # noqa: E402 - after the path

BEGIN, END = "<!-- scale: written by bench/watch_scale.py -->", "<!-- end of scale -->"
WINDOW_S = 600.0
CHUNK = 5_000
EVERY_S = 1.0
"""How often the loop turns."""
USERS = 20_000
WORDS = [f"word{i}" for i in range(3_000)]
CONTRACT = Contract(
    task=Task.MULTICLASS,
    target="intent",
    classes=("billing", "refund", "delivery", "login"),
    key="customer",
    fields=(
        Field(name="message", type=FieldType.TEXT),
        Field(name="channel", type=FieldType.CATEGORY, values=("chat", "email", "app"), roles=(Role.SEGMENT,)),
        Field(name="months", type=FieldType.NUMBER, required=False, on_range=Policy.FLAG),
        Field(name="customer", type=FieldType.IDENTIFIER, roles=(Role.IGNORED,), pii=Pii.HASH),
    ),
)
_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True, kw_only=True)
class Reference:
    """What the watch needs of a bundle."""

    contract: Contract
    profile: Profile
    signals: RowSignals


def inputs(luck: random.Random) -> dict[str, Any]:
    """Return one request's fields."""
    text = " ".join(luck.choices(WORDS, k=12))
    return {
        "message": text,
        "channel": luck.choice(("chat", "email", "app")),
        "months": None if luck.random() < 0.05 else round(luck.expovariate(0.05), 1),
    }


def answer(luck: random.Random) -> Answer:
    """Return one answer."""
    sure = min(0.99, max(0.2, luck.gauss(0.85, 0.1)))
    return Answer(label=luck.choice(CONTRACT.classes), confidence=sure, trust=Trust.OK if sure > 0.5 else Trust.LOW)


def reference(luck: random.Random) -> Reference:
    """Return the reference of 5,000 rows."""
    rows, answers = [inputs(luck) for _ in range(5_000)], [answer(luck) for _ in range(5_000)]
    truth = [a.label if luck.random() < (a.confidence or 0) else "none" for a in answers]
    vocabulary = {"message": word_set([" ".join(WORDS)])}
    profile = build_profile(CONTRACT, rows, answers, truth, None, source="test", vocabulary=vocabulary)
    return Reference(contract=CONTRACT, profile=profile, signals=RowSignals(CONTRACT, vocabulary))


def patterns(luck: random.Random, number: int = 20_000) -> list[Event]:
    """Return requests that later ones are copied from: 1 in 250 refused, 1 in 300 failed."""
    clock = FakeClock()
    out = []
    for i in range(number):
        told = answer(luck)
        out.append(
            Event(
                model="m",
                worker="w0",
                seq=i + 1,
                id=f"p{i}",
                kind=Kind.REFUSAL if i % 250 == 7 else Kind.PREDICTION,
                occurred_at=clock.now(),
                received_at=clock.now(),
                bundle="m@1",
                served_arm=Arm.CHAMPION,
                inputs=inputs(luck),
                label=told.label,
                probabilities=dict.fromkeys(CONTRACT.classes, 0.25),
                confidence=told.confidence,
                trust=told.trust,
                latency_us=900,
                status=503 if i % 300 == 11 else 200,
            )
        )
    return out


def records(patterns: Sequence[Event], number: int, clock: FakeClock, luck: random.Random) -> Iterator[list[bytes]]:
    """Yield the window's records as the loop finds them: what came in a second, at most CHUNK at once."""
    gap = timedelta(seconds=WINDOW_S / number)
    each = min(CHUNK, max(1, round(number * EVERY_S / WINDOW_S)))
    at, chunk = clock.now(), []
    for i in range(number):
        at += gap
        user = luck.randrange(USERS)
        event = msgspec.structs.replace(
            patterns[i % len(patterns)],
            seq=i + 1,
            id=f"e{i}",
            key_hash=f"{user * 2654435761 % 2**32:08x}{user:08x}",
            unit=f"u{i}",
            occurred_at=at,
            received_at=at,
        )
        chunk.append(_encode(event))
        if len(chunk) == each:
            clock.advance(seconds=(at - clock.now()).total_seconds())
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def window(number: int, bundle: Reference, given: Sequence[Event]) -> dict[str, Any]:
    """Return what a window of so many requests costs."""
    clock, luck = FakeClock(), random.Random(number)
    busy = decoding = 0.0
    before, peak = resident(), 0
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/store.db", clock=clock)
        for chunk in records(given, number, clock, luck):
            began = time.process_time()
            events = [decode(payload) for payload in chunk]
            middle = time.process_time()
            with store.begin() as tx:
                watch_turn(
                    tx,
                    model="m",
                    journal_events=events,
                    loaded_model_provider=lambda _name: bundle,
                    settings=Settings(),
                    clock=clock,
                )
            decoding += middle - began
            busy += time.process_time() - middle
            peak = max(peak, resident())
        with store.read() as tx:
            stored = blocks.blocks(tx, "m", limit=100_000)
    rows = sum(block.rows for block in stored)
    measured = sum(block.summary.get("measured", block.rows) for block in stored)
    return {
        "events": number,
        "seconds": round(busy, 3),
        "decode_seconds": round(decoding, 3),
        "core_share": round((busy + decoding) / WINDOW_S, 4),
        "us_per_event": round(busy / number * 1e6, 2),
        "peak_mb": round((peak - before) / 1e6, 1),
        "blocks": len(stored),
        "rows": rows,
        "measured": measured,
    }


def per_value(bundle: Reference) -> dict[str, float]:
    """Return nanoseconds for each value where a column of numbers is counted."""
    plan = streams.plan(bundle.profile, Settings().watch)
    rng = np.random.default_rng(0)
    n = 100_000
    numeric = next(item for item in plan.watched if item.name == "months")
    x, units = rng.exponential(20.0, n), np.arange(n)
    part = np.zeros(numeric.stream.width)
    found = {}
    for name, run in {
        "a column of numbers": lambda: streams._count_numbers(numeric, part, x, np.ones(n), units),
        "its bins alone": lambda: np.bincount(np.searchsorted(numeric.edges, x, side="right"), minlength=201),
    }.items():
        run()
        began = time.process_time()
        for _ in range(10):
            run()
        found[name] = round((time.process_time() - began) / 10 / n * 1e9, 1)
    return found


def main() -> None:
    """Run, tell, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=10_000_000, help="requests of the largest window")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    luck = random.Random(3)
    bundle, given = reference(luck), patterns(luck)
    found = []
    number = 1_000
    while number <= chosen.most:
        found.append(window(number, bundle, given))
        print(json.dumps(found[-1]), flush=True)
        number *= 10
    values = per_value(bundle)
    print(json.dumps(values))
    out = HERE / "results" / "watch-scale.json"
    out.write_text(json.dumps({"windows": found, "ns_per_value": values}, indent=1) + "\n")
    if chosen.write:
        write(ROOT / "docs" / "benchmarks.md", page(found, values), begin=BEGIN, end=END)


def page(found: Sequence[dict[str, Any]], values: dict[str, float]) -> str:
    """Return Markdown."""
    lines = [
        "| requests in 10 minutes | a second | watch, processor s | decoding, s | share of a core | µs a request "
        "| MB more | blocks | measured |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        lines.append(
            f"| {row['events']:,} | {row['events'] / WINDOW_S:,.0f} | {row['seconds']:.2f} "
            f"| {row['decode_seconds']:.2f} | {row['core_share']:.2%} "
            f"| {row['us_per_event']:.1f} | {row['peak_mb']:.0f} | {row['blocks']:,} | {row['measured']:,} |"
        )
    told = "; ".join(f"{name}: {ns:g} ns" for name, ns in values.items())
    return "\n".join([*lines, "", f"Counting, for each value: {told}."])


if __name__ == "__main__":
    main()
