"""Folders of the state: what a project was asked and answered, learned and knows by keys is for its user alone."""

from __future__ import annotations

from pathlib import Path

PRIVATE = 0o700


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone; one that is there keeps its permissions.

    pathlib gives its `mode` to the last folder only, and the first one is the door to all that lies below.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=PRIVATE, exist_ok=True)
    folder.mkdir(mode=PRIVATE, exist_ok=True)  # raises where it is a file
