"""No answer before its record is on disk: read from the system calls of a real worker under load."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from supervised_kit import Server

CALLS = "pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg"
_CALL = re.compile(r"^(\d+)\s+(\w+)\((\d+)<([^>]*)>(.*)")
_RESUMED = re.compile(r"^(\d+)\s+<\.\.\. (\w+) resumed>.*= (-?\d+)")
_RESULT = re.compile(r"= (-?\d+)[^=]*$")
_ID = re.compile(r"w0-\d+-[0-9a-f]{8}")


@dataclass
class Call:
    """One system call: its thread, what it was given, and the lines at which it began and had ended."""

    name: str
    file: str
    text: str
    began: int
    ended: int = -1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if shutil.which("strace") is None:
        pytest.skip("system calls are watched with strace: apt-get install strace")
    made = Server(tmp_path)
    yield made
    if made.process is not None:
        made.stop()
    made.client.close()


def calls(trace: Path) -> list[Call]:
    """Return the calls that succeeded, in the order in which they began."""
    found: list[Call] = []
    open_: dict[str, Call] = {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        if resumed := _RESUMED.match(line):
            call = open_.pop(resumed[1], None)
            if call is not None and int(resumed[3]) >= 0:
                call.ended = number
            continue
        begun = _CALL.match(line)
        if begun is None:
            continue
        call = Call(name=begun[2], file=begun[4], text=begun[5], began=number)
        found.append(call)
        if "<unfinished" in line:
            open_[begun[1]] = call
        elif (result := _RESULT.search(line)) and int(result[1]) >= 0:
            call.ended = number
    return [call for call in found if call.ended >= 0]


def unsynced(trace: Path) -> tuple[int, list[str]]:
    """Return how many ids went out to a client, and those whose record was not synced before."""
    written: dict[str, Call] = {}
    syncs: list[Call] = []
    sent = 0
    early = []
    for call in calls(trace):
        if call.name == "pwrite64" and call.file.endswith(".seg"):
            written |= dict.fromkeys(_ID.findall(call.text), call)
        elif call.name in ("fdatasync", "fsync"):
            syncs.append(call)
        elif call.name in ("write", "writev", "sendto", "sendmsg") and "TCP" in call.file:
            for id_ in _ID.findall(call.text):
                sent += 1
                record = written.get(id_)
                if record is None or not any(
                    sync.file == record.file and record.ended < sync.began and sync.ended < call.began
                    for sync in reversed(syncs)
                ):
                    early.append(id_)
    return sent, early


def traced(server: Server, durability: str) -> tuple[int, list[str]]:
    trace = server.folder / "trace"
    server.route(server.bundle(1))
    strace = ["strace", "-D", "-f", "-y", "-yy", "-s", "100000", "-e", f"trace={CALLS}", "-o", str(trace)]
    try:
        subprocess.run([*strace, "true"], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"processes may not be traced here: {error.stderr.decode()[:200]}")
    server.start(before=strace, durability=durability)

    def ask(number: int) -> int:
        body = {"instances": [{"key": f"c{number}", "inputs": {"text": "snow day"}}]}
        return httpx.post(f"{server.url}/v1/predict", json=body, timeout=120).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(160))) == {200}
    server.stop()
    return unsynced(trace)


def test_every_answer_goes_out_after_the_sync_of_its_record(server: Server) -> None:
    assert traced(server, "fsync") == (160, [])


def test_the_trace_shows_it_where_nothing_is_synced(server: Server) -> None:
    sent, early = traced(server, "os")
    assert sent == len(early) == 160
