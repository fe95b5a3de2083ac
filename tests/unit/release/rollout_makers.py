"""Makers of pairs, events and releases for the tests of this folder."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from mainstay.config.settings import Settings
from mainstay.core.events import Arm, Event, Kind, PairedAnswer, Trust
from mainstay.core.releases import Release, Stage
from mainstay.store.pairs import Pair

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MODEL = "m"
SHARES = {0: 0.05, 1: 0.10, 2: 0.25, 3: 0.50, 4: 1.0}
Draw = Callable[[random.Random, int], dict[str, Any]]


def settings(**rollout: Any) -> Settings:
    guards = {"error_rate": 0.05, "abstain_rate": 0.05, "accuracy_margin": 0.05, "latency_p99_ratio": 3.0}
    return Settings.model_validate(
        {
            "project": {"name": MODEL},
            "data": {"key": "who"},
            "target": {"field": "kind", "classes": ["a", "b"]},
            "rollout": {"guards": guards, "step_min_units": 5, "probation_hours": 1, **rollout},
        }
    )


def release(version: int, stage: Stage = Stage.GATED, **more: Any) -> Release:
    base: dict[str, Any] = {
        "model": MODEL,
        "version": version,
        "digest": f"{version}" * 64,
        "stage": stage,
        "since": NOW,
        "created_at": NOW,
        "salt": f"salt-{version}",
    }
    return Release(**(base | more))


def pair(number: int, **more: Any) -> Pair:
    base: dict[str, Any] = {
        "model": MODEL,
        "version": 2,
        "unit": f"u{number}",
        "id": f"p{number}",
        "key_hash": f"k{number}",
        "arm": Arm.CHAMPION,
        "occurred_at": NOW,
        "champion_label": "a",
        "challenger_label": "a",
        "champion_confidence": 0.9,
        "challenger_confidence": 0.9,
        "champion_trust": Trust.OK,
        "challenger_trust": Trust.OK,
        "champion_latency_us": 3000,
        "challenger_latency_us": 3000,
        "step": -1,
    }
    return Pair(**(base | more))


def pairs(draw: Draw, n: int, seed: int = 0, first: int = 0) -> list[Pair]:
    rng = random.Random(f"{seed}-{first}")
    return [pair(number, **draw(rng, number)) for number in range(first, first + n)]


def identical(rng: random.Random, _: int) -> dict[str, Any]:
    """Both sides always say the same, right in 9 of 10."""
    return {"label": "a" if rng.random() < 0.9 else "b"}


def better(rng: random.Random, _: int) -> dict[str, Any]:
    """The champion is right in 60 %, the challenger in 87 %; half of the requests are labelled."""
    champion, challenger = rng.random() < 0.6, rng.random() < 0.87
    return {
        "label": "a" if rng.random() < 0.5 else None,
        "champion_label": "a" if champion else "b",
        "challenger_label": "a" if challenger else "b",
        "champion_confidence": rng.uniform(0.3, 0.8),
        "champion_trust": Trust.LOW if rng.random() < 0.3 else Trust.OK,
    }


def garbage_on_new_kind(rng: random.Random, _: int) -> dict[str, Any]:
    """On 30 % of the requests the challenger guesses, and knows it; the rest is the same. Half is labelled."""
    label = "a" if rng.random() < 0.5 else None
    if rng.random() >= 0.3:
        return {"label": label}
    return {
        "label": label,
        "challenger_label": rng.choice(["a", "b"]),
        "challenger_confidence": rng.uniform(0.1, 0.39),
        "challenger_trust": Trust.LOW,
    }


def failing(rng: random.Random, _: int) -> dict[str, Any]:
    """The challenger fails on every fifth request."""
    if rng.random() < 0.2:
        return {"challenger_failed": True, "challenger_label": None, "label": "a"}
    return {"label": "a"}


def prediction(number: int, **more: Any) -> Event:
    base: dict[str, Any] = {
        "model": MODEL,
        "worker": "w0",
        "seq": number + 1,
        "id": f"p{number}",
        "kind": Kind.PREDICTION,
        "occurred_at": NOW,
        "received_at": NOW,
        "bundle": f"{MODEL}@1",
        "assigned_arm": Arm.CHAMPION,
        "served_arm": Arm.CHAMPION,
        "key_hash": f"k{number}",
        "unit": f"u{number}",
        "label": "a",
        "confidence": 0.9,
        "trust": Trust.OK,
        "latency_us": 3000,
    }
    return Event(**(base | more))


def shadow(number: int, *, by: int, served_by: int, arm: Arm = Arm.CHAMPION, served: Any = "a", **more: Any) -> Event:
    """Return the record of version `by` scoring a request that version `served_by` answered."""
    paired = PairedAnswer(
        bundle=f"{MODEL}@{served_by}",
        served_arm=arm,
        label=served,
        confidence=0.9,
        trust=Trust.OK,
        latency_us=3000,
        failed=served is None,
    )
    return prediction(number, kind=Kind.SHADOW, bundle=f"{MODEL}@{by}", paired=paired, **more)
