"""River's ADWIN and Page-Hinkley, with their defaults, over streams of losses: `python river_concept.py streams.npz`.

The file holds arrays of shape (streams, values). Prints, as JSON, for each array and detector where it alarmed.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from river import drift  # type: ignore[import-not-found]

DETECTORS = {"ADWIN": drift.ADWIN, "Page-Hinkley": drift.PageHinkley}


def alarms(values: list[float], detector: object) -> list[int]:
    """Return after how many values it alarmed; both begin anew by themselves."""
    found = []
    for number, value in enumerate(values, start=1):
        detector.update(value)  # type: ignore[attr-defined]
        if detector.drift_detected:  # type: ignore[attr-defined]
            found.append(number)
    return found


def main() -> None:
    """Run all streams."""
    with np.load(sys.argv[1]) as held:
        told = {
            name: {kind: [alarms(row.tolist(), make()) for row in held[name]] for kind, make in DETECTORS.items()}
            for name in held.files
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
