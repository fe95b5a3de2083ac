"""What processes use is shared out by what they computed, and survives a store that is away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from mainstay.core.errors import StoreUnavailable
from mainstay.core.usage import Prices, Pulse, Usage, cost_of
from mainstay.serve import gpu
from mainstay.serve.gpu import GpuUse, Nvml
from mainstay.serve.metrics import Metrics
from mainstay.serve.usage import UsageMeter, processor_s
from mainstay.testing.clock import FakeClock


class Machine:
    """Worker processes as their state files tell of them, and a store that may be away."""

    def __init__(self, **more: Any) -> None:
        self.clock = FakeClock()
        self.cpu: dict[int, float] = {}
        self.metrics = {"w0": Metrics(), "w1": Metrics()}
        self.pids = {"w0": 10, "w1": 11}
        self.memory = 500.0
        self.away = False
        self.kept: dict[tuple[str, str, Any], Usage] = {}
        self.pulses: dict[tuple[str, Any], Pulse] = {}
        self.runners: list[dict[str, Any]] = []
        self.meter = UsageMeter("m", "here", clock=self.clock, keep=self.keep, cpu_of=self.cpu.get, **more)

    def keep(self, used: Sequence[Usage], pulses: Sequence[Pulse]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.kept |= {(one.source, one.bundle, one.at): one for one in used}
        self.pulses |= {(one.source, one.at): one for one in pulses}

    def state(self, worker: str, *, model: str = "m") -> Mapping[str, Any]:
        return {
            "worker": worker,
            "pid": self.pids[worker],
            "rss_mb": self.memory,
            "cpu_s": 0.0,
            "models": {model: {"champion": f"{model}@1", "runners": self.runners}},
            "metrics": self.metrics[worker].as_dict(),
        }

    def rows(self, count: int, *, bundle: str = "m@1", worker: str = "w0") -> None:
        self.metrics[worker].count("predictions_total", count, model="m", bundle=bundle, arm="champion", trust="ok")

    def look(self, seconds: float = 10.0, workers: Sequence[str] = ("w0",), beside: Sequence[Any] = ()) -> None:
        self.clock.advance(seconds=seconds)
        self.meter.look([self.state(worker) for worker in workers], beside)

    @property
    def used(self) -> dict[str, Usage]:
        return {one.bundle: one for one in self.meter.totals()}


def test_processor_time_and_memory_are_shared_out_by_the_rows_of_each_version() -> None:
    machine = Machine()
    machine.look()
    machine.rows(300)
    machine.rows(100, bundle="m@2")
    machine.cpu[10] = 8.0
    machine.look(10.0)
    one, two = machine.used["m@1"], machine.used["m@2"]
    assert (one.cpu_s, two.cpu_s) == pytest.approx((6.0, 2.0))
    assert (one.rows, two.rows) == (300, 100)
    assert two.memory_gb_s == pytest.approx(0.5 * 10.0 * 0.25)


def test_shadow_rows_cost_what_they_compute() -> None:
    machine = Machine()
    machine.look()
    machine.rows(100)
    machine.metrics["w0"].count("shadow_rows_total", 100, bundle="m@2")
    machine.cpu[10] = 4.0
    machine.look()
    assert machine.used["m@2"].cpu_s == pytest.approx(2.0)


def test_an_idle_process_is_the_champions() -> None:
    machine = Machine()
    machine.look()
    machine.cpu[10] = 0.5
    machine.look(30.0)
    assert machine.used["m@1"].cpu_s == pytest.approx(0.5)
    assert machine.used["m@1"].memory_gb_s == pytest.approx(15.0)


def test_models_of_one_process_share_it_by_their_rows() -> None:
    machine, other = Machine(), Metrics()
    beside = [{"worker": "w0", "pid": 10, "metrics": other.as_dict()}]
    machine.look(beside=beside)
    machine.rows(100)
    other.count("predictions_total", 300, model="x", bundle="x@1", arm="champion", trust="ok")
    machine.cpu[10] = 4.0
    machine.look(beside=[{"worker": "w0", "pid": 10, "metrics": other.as_dict()}])
    assert machine.used["m@1"].cpu_s == pytest.approx(1.0)
    machine.cpu[10] = 6.0
    machine.look(beside=[{"worker": "w0", "pid": 10, "metrics": other.as_dict()}])
    assert machine.used["m@1"].cpu_s == pytest.approx(2.0)  # idle: half of what it used


def test_a_worker_that_was_started_again_begins_at_nothing() -> None:
    machine = Machine()
    machine.rows(10)
    machine.cpu[10] = 3.0
    machine.look()
    machine.pids["w0"], machine.metrics["w0"] = 99, Metrics()
    machine.rows(5)
    machine.cpu[99] = 1.0
    machine.look()
    assert (machine.used["m@1"].rows, machine.used["m@1"].cpu_s) == (15, pytest.approx(4.0))


def test_a_runner_is_its_bundles_alone() -> None:
    machine = Machine()
    machine.runners = [
        {"bundle": "m@2", "seats": {"answers": {"pid": 50, "rss_mb": 200.0}, "beside": {"pid": None, "rss_mb": 0.0}}}
    ]
    machine.look()
    machine.rows(10)
    machine.cpu |= {10: 1.0, 50: 9.0}
    machine.look(10.0)
    assert machine.used["m@2"].cpu_s == pytest.approx(9.0)
    assert machine.used["m@2"].memory_gb_s == pytest.approx(2.0)
    assert machine.used["m@1"].cpu_s == pytest.approx(1.0)


def test_a_machine_that_slept_is_not_charged_for_the_night() -> None:
    machine = Machine()
    machine.look()
    machine.look(8 * 3600.0)
    assert machine.used["m@1"].memory_gb_s == pytest.approx(0.5 * 60.0)


def test_a_store_that_is_away_gets_it_all_later_and_once() -> None:
    machine = Machine()
    machine.away = True
    for _ in range(12):
        machine.rows(10)
        machine.look(600.0)
    assert machine.kept == {}
    machine.away = False
    machine.look(600.0)
    machine.look(600.0)
    assert sum(one.rows for one in machine.kept.values()) == 120
    assert machine.used["m@1"].rows == 120


def test_a_pulse_tells_calls_by_how_long_they_took_without_load_tests_and_each_process_memory() -> None:
    machine = Machine()
    machine.look()
    machine.metrics["w0"].batch([0.002, 0.002, 0.3], 3, 0.001)
    machine.metrics["w0"].load_test([0.3])
    machine.look()
    machine.memory = 700.0
    machine.look(30.0)
    (told,) = machine.pulses.values()
    assert told.calls == 2
    assert told.counts[told.bounds.index(0.0025)] == 2
    assert told.memory["w0:10"] == (500.0, 700.0)


def test_quarters_and_hours_are_told_apart() -> None:
    machine = Machine()
    for _ in range(5):
        machine.rows(10)
        machine.look(900.0)
    machine.meter.close()
    starts = {at for _, at in machine.pulses}
    assert all(at.minute % 15 == 0 for at in starts)
    assert len(starts) == 5
    assert sum(one.rows for one in machine.kept.values()) == 50
    assert len({at for *_, at in machine.kept}) == 2


def test_time_on_a_gpu_is_shared_out_like_the_processors() -> None:
    machine = Machine(gpus=SimpleNamespace(look=lambda: {10: GpuUse(memory_mb=900.0, busy=0.5)}))
    machine.look()
    machine.rows(30)
    machine.rows(10, bundle="m@2")
    machine.look(10.0)
    machine.meter.close()
    assert machine.used["m@1"].gpu_s == pytest.approx(3.75)
    (told,) = machine.pulses.values()
    assert told.memory["gpu w0:10"] == (900.0, 900.0)


class FakeNvml:
    """NVIDIA's library with two devices."""

    class NVMLError(Exception):
        """What it raises."""

    def nvmlInit(self) -> None: ...  # noqa: N802 - NVIDIA's name

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        return number

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=10, usedGpuMemory=2_000_000_000 if device == 0 else None)]

    def nvmlDeviceGetProcessUtilization(self, device: int, since: int) -> list[Any]:  # noqa: N802
        if device == 1:
            raise self.NVMLError("nothing ran")
        made = [(10, 100, 80), (10, 200, 40), (77, 150, 10)]
        return [SimpleNamespace(pid=p, timeStamp=t, smUtil=u) for p, t, u in made if t > since]


def test_nvidias_library_is_read_as_it_tells() -> None:
    seen = Nvml(FakeNvml())
    first = seen.look()
    assert first[10] == GpuUse(memory_mb=2_000.0, busy=0.4)
    assert first[77] == GpuUse(memory_mb=0.0, busy=0.1)
    assert seen.look()[10] == GpuUse(memory_mb=2_000.0, busy=0.0)


def test_without_a_gpu_nobody_is_told_of_one() -> None:
    assert gpu.NoGpus().look() == {}
    assert gpu.find().look() == {} or isinstance(gpu.find(), Nvml)


def test_the_systems_own_count_of_this_process_is_read() -> None:
    import os
    import sys

    found = processor_s(os.getpid())
    if sys.platform == "linux":
        assert found is not None
        assert found == pytest.approx(sum(os.times()[:2]), abs=0.5)
    assert processor_s(2**22 + 1) is None


def test_cost_is_price_times_amount() -> None:
    at = FakeClock().now()
    used = Usage(model="m", source="", bundle="m@1", at=at, rows=1_000, cpu_s=1_800.0, memory_gb_s=7_200.0, gpu_s=36.0)
    prices = Prices(cpu_hour=0.04, memory_gb_hour=0.005, gpu_hour=2.0, sources={"geo": (0.001, 2.0)})
    found = cost_of(used, prices)
    assert (found.cpu, found.memory, found.gpu, found.sources) == pytest.approx((0.02, 0.01, 0.02, 2.0))
    assert found.total == pytest.approx(2.05)
