"""Batches that are killed, that meet a full disk, that are larger than memory; and the same rows asked over HTTP."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from loop_kit import Shop, sentence
from mainstay import Project
from mainstay.core.incidents import Harm
from mainstay.journal.read import Journal
from mainstay.serve import control
from mainstay.store import blocks, feedback, incidents
from mainstay.testing.clock import FakeClock

HOST = Path(__file__).parent / "scoring_host.py"
SOURCES = Path(__file__).parents[2] / "src"
ENVIRON = os.environ | {"PYTHONPATH": str(SOURCES)}


@pytest.fixture
def shop(trained_shop: Shop, tmp_path: Path) -> Path:
    """Return the folder of a shop whose version 1 answers."""
    return trained_shop.copy(tmp_path / "shop").folder


def write_rows(path: Path, count: int, *, bad: int = 0, **columns: str) -> Path:
    """Write a CSV of messages; each `bad`-th has no text."""
    luck = random.Random(3)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["text", "buyer", *columns])
        for number in range(count):
            text = sentence(luck, luck.choice(["fruit", "tool"])) if not bad or (number + 1) % bad else ""
            out.writerow([f"{text} n{number}" if text else "", f"b{number % 97}", *columns.values()])
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(HOST), *map(str, arguments)]


def score(*arguments: object, code: int = 0) -> dict[str, Any]:
    done = subprocess.run(command(*arguments), env=ENVIRON, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def journalled(folder: Path) -> list[str]:
    """Return run and row of each record, in order."""
    events, _ = Journal(folder / ".mainstay" / "journal").read({}, 1_000_000)
    return [str(event.trace_id) for event in events]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_killed_at_any_step_and_run_again_it_ends_with_the_same_file_and_journal(shop: Path, kind: str) -> None:
    source = write_rows(shop / "in.csv", 50, bad=7)
    whole, out = shop / f"whole.{kind}", shop / f"out.{kind}"
    run = score(shop, source, whole, 20, 0)["run"]
    each = command(shop, source, out, 20, "each second" if kind == "csv" else "each third")
    with subprocess.Popen(each, env=ENVIRON, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        steps, resumed, done_before = follow(process, shop, out, whole, run)
    assert process.returncode == 0
    assert steps > 20
    assert {0, 20, 40, 50} >= resumed >= {0, 20, 40}
    assert done_before < 10


def follow(process: subprocess.Popen[str], shop: Path, out: Path, whole: Path, run: str) -> tuple[int, set[int], int]:
    """Look at what each killed and repeated run left; return the number of kills, and where runs went on."""
    assert process.stdin is not None
    assert process.stdout is not None
    steps, resumed, done_before = 0, set[int](), 0
    report: dict[str, Any] = {}
    for line in process.stdout:
        told = json.loads(line)
        if "step" not in told:
            report = told
            continue
        steps += 1
        where = f"killed before step {told['step']}"
        if not told["lived"]:
            # It died behind the rename: the file was whole, and the command says that it is there.
            assert told["done_before"], where
            done_before += 1
        else:
            resumed.add(report["resumed_at"])
        assert out.read_bytes() == whole.read_bytes(), where
        assert Path(f"{out}.bad.ndjson").read_bytes() == Path(f"{whole}.bad.ndjson").read_bytes(), where
        assert journalled(shop) == [f"{run}:{number}" for number in range(50)], where
        process.stdin.write("\n")
        process.stdin.flush()
    return steps, resumed, done_before


@pytest.mark.slow
def test_killed_from_outside_at_random_moments_it_comes_to_the_same_end(shop: Path) -> None:
    source = write_rows(shop / "in.csv", 6_000, bad=11)
    run = score(shop, source, shop / "whole.ndjson", 250, 0, "watch=false")["run"]
    luck, kills = random.Random(8), 0
    while not (shop / "out.ndjson").exists():
        process = subprocess.Popen(command(shop, source, shop / "out.ndjson", 250, 0), env=ENVIRON)
        work = shop / ".out.ndjson.scoring"
        had = len(list(work.glob("*.json")))
        while process.poll() is None and len(list(work.glob("*.json"))) < had + 4:
            time.sleep(0.002)
        time.sleep(luck.random() * 0.05)
        if process.poll() is None and kills < 3:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 3
    assert (shop / "out.ndjson").read_bytes() == (shop / "whole.ndjson").read_bytes()
    assert journalled(shop) == [f"{run}:{number}" for number in range(6_000)]
    assert list(shop.glob(".out*")) == []


def test_a_full_disk_stops_it_with_the_remedy_and_room_lets_it_go_on(shop: Path, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs the right to mount: run as root with unshare")
    source = write_rows(shop / "in.csv", 3_000)
    score(shop, source, shop / "whole.csv", 500, 0, "watch=false")
    disk = tmp_path / "disk"
    disk.mkdir()
    run = " ".join(f'"{part}"' for part in command(shop, source, disk / "out.csv", 500, 0))
    script = f"""
    mount -t tmpfs -o size=1m tmpfs "{disk}" && head -c 800000 /dev/zero > "{disk}/filler"
    {run}; echo "left with $?"; ls "{disk}"; rm "{disk}/filler"
    {run}; echo "left with $?"; cp "{disk}/out.csv" "{shop}/copy.csv"
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=ENVIRON, capture_output=True, text=True, check=False
    )
    first, left, names, second, well = done.stdout.strip().splitlines()
    assert "No space left on device" in json.loads(first)["error"]
    assert "goes on where it stopped" in json.loads(first)["remedy"]
    assert (left, names) == ("left with 6", "filler")
    assert json.loads(second)["resumed_at"] > 0
    assert well == "left with 0"
    assert (shop / "copy.csv").read_bytes() == (shop / "whole.csv").read_bytes()


WRITES = """
import random, sys
import polars as pl
kind, source, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
dice = random.Random(rows)
texts = [f"apple nail {number} {dice.randbytes(780).hex()}" for number in range(rows)]
frame = pl.DataFrame({"text": [text[:40] for text in texts], "buyer": ["b"] * rows, "more": texts})
if kind == "parquet":
    frame.write_parquet(source, compression="uncompressed", row_group_size=rows)
else:
    (frame.write_csv if kind == "csv" else frame.write_ndjson)(source)
"""
"""Run in a process of its own: it holds half a gigabyte, and the tests' own process goes on long after it."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_memory_does_not_grow_with_the_file(shop: Path, kind: str) -> None:
    """Two files, of 40 and of 160 MB; what the second needs beyond the first stays far below what it is longer."""
    most = {}
    for rows in (25_000, 100_000):
        source = shop / f"in.{kind}"
        subprocess.run([sys.executable, "-c", WRITES, kind, str(source), str(rows)], check=True)
        told = score(shop, source, shop / f"{rows}.{kind}", 20_000, 0, 'ignore=["*"]')
        assert told["rows"] == rows
        most[rows] = told["rss_mb"]
    assert source.stat().st_size > 150e6
    assert most[100_000] - most[25_000] < 60


@pytest.mark.slow
def test_a_row_of_a_file_is_answered_as_the_server_answers_it(shop: Path) -> None:
    rows = [{"text": "ripe apple saw", "buyer": "b1"}, {"text": "wtf lol plz apple", "buyer": "b2"}]
    rows += [{"text": sentence(random.Random(number), "tool"), "buyer": f"b{number}"} for number in range(60)]
    rows += [{"text": "", "buyer": "b9"}, {"text": "emoji 🍎 päron", "buyer": "b9"}]
    rows += [{"text": None, "buyer": "b9"}, {"text": "saw", "buyer": "b9", "txet": "x"}, {"text": 5, "buyer": "b"}]
    source = shop / "in.ndjson"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    score(shop, source, shop / "out.ndjson", 20, 0)
    lines = [json.loads(line) for line in (shop / "out.ndjson").read_text().splitlines()]
    bad = {one["row"]: one for one in map(json.loads, (shop / "out.ndjson.bad.ndjson").read_text().splitlines())}
    server = subprocess.Popen([sys.executable, "-m", "mainstay", "serve", "-C", str(shop), "--port", "0"], env=ENVIRON)
    try:
        until = time.monotonic() + 120
        while not (told := control.running(shop / ".mainstay" / "run") or {}).get("ready"):
            assert time.monotonic() < until
            time.sleep(0.05)
        with httpx.Client(base_url=f"http://127.0.0.1:{told['port']}", timeout=120) as client:
            for number, (row, line) in enumerate(zip(rows, lines, strict=True)):
                answer = client.post("/v1/predict", json={"instances": [{"inputs": row}]})
                if answer.status_code == 422:
                    assert line["status"] == "refused"
                    says = [(p["field"], p["nearest"]) for p in answer.json()["error"]["problems"]]
                    assert [(p["field"], p["nearest"]) for p in bad[number]["problems"]] == says
                    continue
                assert line["status"] == "ok"
                given = answer.json()["predictions"][0]
                same = ("label", "trust", "warnings", "bundle")
                assert {name: line[name] for name in same} == {name: given[name] for name in same}
                assert line["probabilities"] == pytest.approx(given["probabilities"], abs=1e-12)
                assert line["confidence"] == pytest.approx(given["confidence"], abs=1e-12)
    finally:
        server.terminate()
        server.wait(120)
    assert sum(line["status"] == "refused" for line in lines) == 3


def test_the_watch_takes_the_rows_of_a_batch_like_live_traffic(trained_shop: Shop, tmp_path: Path) -> None:
    shop = trained_shop.copy(tmp_path / "shop", clock=FakeClock())
    project = Project.open(shop.folder, environ={})
    project.__dict__["clock"] = shop.clock
    project.score(write_rows(shop.folder / "july.csv", 400), shop.folder / "july.parquet")
    shop.turns()
    parts = shop.parts()
    with parts.store.read() as tx:
        july = blocks.blocks(tx, "shop", limit=100)
        assert Harm.DATA_FAULT not in {one.harm for one in incidents.list_(tx, "shop")}
    assert sum(block.rows for block in july) == 400
    assert {block.bundle for block in july} == {"shop@1"}
    report = project.score(write_rows(shop.folder / "august.csv", 400, bad=3), shop.folder / "august.csv.out.csv")
    assert report.counts["refused"] == 133
    shop.turns()
    with parts.store.read() as tx:
        assert Harm.DATA_FAULT in {one.harm for one in incidents.list_(tx, "shop")}
    # Labels find the answers of a batch by the ids in its file.
    with (shop.folder / "august.csv.out.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    project.feedback([{"id": first["id"], "label": "fruit", "at": shop.clock.now().isoformat()}])
    shop.turns()
    with parts.store.read() as tx:
        [graded] = feedback.labels(tx, "shop", limit=10)
    assert (graded.id, graded.bundle) == (first["id"], "shop@1")
