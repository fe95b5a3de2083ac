"""What processes use of NVIDIA's GPUs, where there is one and its Python bindings (`pynvml`) are installed."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """What one process uses of all GPUs."""

    memory_mb: float = 0.0
    busy: float = 0.0
    """Part of the time since the last look that a GPU worked for it (0 to 1 for each GPU)."""


class Gpus(Protocol):
    """Knows what processes use."""

    def look(self) -> Mapping[int, GpuUse]:
        """Return what each process uses, by its id; empty where nobody can tell."""


class NoGpus:
    """There is none."""

    def look(self) -> Mapping[int, GpuUse]:
        """Return nothing."""
        return {}


class Nvml:
    """NVIDIA's management library. For one thread."""

    def __init__(self, nvml: Any) -> None:
        """Take the module, initialised here; raises what it raises where there is no driver."""
        self._nvml = nvml
        nvml.nvmlInit()
        self._devices = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
        self._seen = [0] * len(self._devices)

    def look(self) -> Mapping[int, GpuUse]:
        """Return what each process uses; a device that does not answer is left out."""
        memory: dict[int, float] = {}
        busy: dict[int, float] = {}
        for number, device in enumerate(self._devices):
            with contextlib.suppress(self._nvml.NVMLError):
                for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(device):
                    memory[process.pid] = memory.get(process.pid, 0.0) + (process.usedGpuMemory or 0) / 1e6
            with contextlib.suppress(self._nvml.NVMLError):  # raised too where nothing ran since the last look
                samples = self._nvml.nvmlDeviceGetProcessUtilization(device, self._seen[number])
                newest: dict[int, Any] = {}
                for sample in samples:
                    if sample.pid not in newest or sample.timeStamp > newest[sample.pid].timeStamp:
                        newest[sample.pid] = sample
                for pid, sample in newest.items():
                    busy[pid] = busy.get(pid, 0.0) + sample.smUtil / 100.0
                    self._seen[number] = max(self._seen[number], sample.timeStamp)
        return {
            pid: GpuUse(memory_mb=memory.get(pid, 0.0), busy=busy.get(pid, 0.0)) for pid in memory.keys() | busy.keys()
        }


def find() -> Gpus:
    """Return what knows this machine's GPUs; where there is none, or no bindings, what knows nothing."""
    try:
        nvml = importlib.import_module("pynvml")
        return Nvml(nvml)
    except Exception:  # noqa: BLE001 - edge: no bindings, no driver, no device: all the same to whoever asks
        return NoGpus()
