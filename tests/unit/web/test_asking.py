"""A model is asked on a page one at a time, and behind everything else."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from mainstay.core.errors import NotFound, Overloaded
from mainstay.web import asking


def test_one_is_asked_at_a_time_and_who_waits_too_long_is_told() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        inside.set()
        assert go_on.wait(120)
        return "done"

    found: list[str] = []
    first = threading.Thread(target=lambda: found.append(asking.ask(slow)))
    first.start()
    try:
        assert inside.wait(120)
        with pytest.raises(Overloaded, match="asked again"):
            asking.ask(lambda: "never", wait_s=0.01)
    finally:
        go_on.set()
        first.join(120)
    assert found == ["done"]
    assert asking.ask(lambda: "next") == "next"


def test_what_is_wrong_is_told_to_who_asked_and_keeps_nobody_else_waiting() -> None:
    def wrong() -> None:
        raise NotFound("gone")

    with pytest.raises(NotFound, match="gone"):
        asking.ask(wrong)
    assert asking.ask(lambda: 1, wait_s=0.01) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows a priority for each thread")
def test_it_is_computed_at_a_lower_priority_than_this_process_has() -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    theirs = asking.ask(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert theirs == min(mine + asking.NICE, 19)
    assert mine == os.getpriority(os.PRIO_PROCESS, 0)
