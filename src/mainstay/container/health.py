"""The container's health check: `python -m mainstay.container.health STATE` asks /readyz; exit code 0 when ready.

Standard library only, as it starts anew every few seconds.
"""

from __future__ import annotations

import http.client
import json
import sys
from pathlib import Path

TIMEOUT_S = 3.0
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address that is asked, not one that is listened on


def main(arguments: list[str]) -> int:
    """Ask the server whose state is in the folder; return 0 when it is ready, else 1 and say why."""
    try:
        told = json.loads((Path(arguments[0]) / "run" / "serve.json").read_text(encoding="utf-8"))
        connection = http.client.HTTPConnection(ANY.get(told["host"], told["host"]), told["port"], timeout=TIMEOUT_S)
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read(500).decode("utf-8", "replace")
    except (OSError, ValueError, TypeError, KeyError, http.client.HTTPException) as error:
        sys.stdout.write(f"not ready: {type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(text + "\n")
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
