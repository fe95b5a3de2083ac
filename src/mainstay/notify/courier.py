"""Sends alerts in threads of their own, one for each address: a slow or dead one keeps neither the loop nor another."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from mainstay.core.ports import Notifier
from mainstay.notify.deliver import Alert, Outcome, send_all


class Courier:
    """Takes alerts, and gives back what became of them. Thread-safe.

    It writes nothing: an alert that was under way when the process died is still in the outbox, and is sent again with
    the same id.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, threading.Thread] = {}
        self._outcomes: list[Outcome] = []

    @property
    def busy(self) -> frozenset[str]:
        """Return the addresses to which something is under way."""
        with self._lock:
            return frozenset(self._under_way)

    def send(self, alerts: Sequence[Alert], notifiers: Mapping[str, Notifier]) -> None:
        """Begin to send; those to an address that is busy are left out, for a later turn."""
        by_address: dict[str, list[Alert]] = {}
        for alert in alerts:
            by_address.setdefault(alert.to, []).append(alert)
        for address, group in by_address.items():
            thread = threading.Thread(
                target=self._work, args=(address, group, notifiers), name=f"alerts-{len(self._under_way)}", daemon=True
            )
            with self._lock:
                if address in self._under_way:
                    continue
                self._under_way[address] = thread
            thread.start()

    def collect(self) -> list[Outcome]:
        """Return what became of alerts since the last call."""
        with self._lock:
            done, self._outcomes = self._outcomes, []
        return done

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is under way, but no longer than so; return whether nothing is."""
        until = time.monotonic() + seconds
        with self._lock:
            threads = list(self._under_way.values())
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not self.busy

    def _work(self, address: str, group: Sequence[Alert], notifiers: Mapping[str, Notifier]) -> None:
        outcomes: list[Outcome] = []
        try:
            for alert in group:
                outcomes += send_all([alert], notifiers)
                if outcomes[-1].error:
                    break  # the rest waits for a turn in which the address may be back
        finally:
            with self._lock:
                self._outcomes += outcomes
                del self._under_way[address]
