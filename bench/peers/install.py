"""Make an environment for each that the benchmarks compare with: `python bench/peers/install.py [NAME …]`.

Each has its own (build/peers/NAME), as their requirements clash with ours and with one another's. One whose environment
cannot be made is left out of the comparison, which says so. Without names: the servers of bench/serving.py; those of
bench/watch.py are evidently, nannyml and whylogs.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
PLACE = HERE.parents[1] / "build" / "peers"
NAMES = ("mlserver", "bentoml", "litserve", "ray")


def main(names: list[str]) -> int:
    """Make them; return how many could not be made."""
    failed = 0
    for name in names or NAMES:
        folder = PLACE / name
        if not (folder / "bin" / "python").exists():
            venv.create(folder, with_pip=True)
        print(f"{name} …", flush=True)
        pip = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(folder / "bin" / "python")]
        done = subprocess.run([*pip, "-r", str(HERE / f"{name}.txt")], check=False)
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
