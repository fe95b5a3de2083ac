"""The runner process: `python -m mainstay.models.runner.child FD FOLDER DIGEST PARENT`. Started by a worker only.

It loads one bundle and answers rows over the inherited socket until that closes. It ends with its worker: the socket
then closes, and Linux kills it also in the middle of a call. What the model prints goes where the worker's log goes.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import msgspec
import numpy as np

from mainstay.models.runner import protocol

ASK_BYTES = 1_000_000_000
LOOK_S = 0.25
PR_SET_PDEATHSIG = 1
OOM_FIRST = "800"
"""Where the machine itself runs out of memory, a runner is to go before its worker (-1000 to 1000)."""


def main(arguments: list[str]) -> int:
    """Run until the worker is gone; return the exit code."""
    began = time.monotonic()
    fd, folder, digest, parent = int(arguments[0]), Path(arguments[1]), arguments[2], int(arguments[3])
    end_with(parent)
    os.set_inheritable(fd, False)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_FIRST, encoding="ascii")
    channel = socket.socket(fileno=fd)
    with suppress(protocol.Closed):
        serve(channel, folder, digest, began)
    return 0


def serve(channel: socket.socket, folder: Path, digest: str, began: float) -> None:
    """Load the bundle, say how that went, and answer; raises Closed when the worker is gone."""
    from mainstay import __version__
    from mainstay.core.errors import MainstayError
    from mainstay.models.bundle import open_bundle
    from mainstay.models.load import load

    hello = protocol.Hello(
        v=protocol.VERSION, ok=True, python=".".join(map(str, sys.version_info[:3])), mainstay=__version__
    )
    try:
        model = load(open_bundle(folder, digest))
    except Exception as error:  # noqa: BLE001 - edge: loading runs other libraries' code
        hello.ok = False
        hello.why = error.message if isinstance(error, MainstayError) else f"{type(error).__name__}: {error}"
        hello.remedy = error.remedy if isinstance(error, MainstayError) else ""
        protocol.send(channel, protocol.frame(hello))
        return
    hello.differences = list(model.environment_differences)
    hello.load_s = time.monotonic() - began
    protocol.send(channel, protocol.frame(hello))
    decode = msgspec.msgpack.Decoder(protocol.Ask).decode
    while True:
        ask = decode(protocol.receive(channel, ASK_BYTES))
        try:
            output = np.ascontiguousarray(model.predict(ask.rows), dtype="<f8")
            said = protocol.Said(ask.number, output.shape, output.tobytes())
        except Exception as error:  # noqa: BLE001 - edge: a model may raise anything; the worker decides what comes of it
            said = protocol.Said(ask.number, error=f"{type(error).__name__}: {error}"[:2000])
        protocol.send(channel, protocol.frame(said))


def end_with(parent: int) -> None:
    """See to it that this process ends when the one that started it does, whatever ended that."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)
    Thread(target=_watch, args=(parent,), name="end-with-worker", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
