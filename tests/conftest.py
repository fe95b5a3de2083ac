"""What several folders of tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from loop_kit import Shop

TOLD_AT_ONCE = 4000
"""Characters of a failure, from its end."""

gc.disable()  # until all is collected: modules and tests stay, and looking through them again and again took a third


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Collect garbage from now on, and look at nothing that stays until the end."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """In CI each failure is told when it happens: a run that is ended early has no summary."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(_ToldAtOnce(reporter))


class _ToldAtOnce:
    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell which test failed, where it ran, and how."""
        if report.failed:
            where = getattr(report, "worker_id", "")
            self._reporter.ensure_newline()
            self._reporter.write_line(f"FAILED {report.when} {where} {report.nodeid}")
            self._reporter.write_line(report.longreprtext[-TOLD_AT_ONCE:])


@pytest.fixture(scope="session")
def trained_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a shop with two trained versions, to be copied by each test."""
    from loop_kit import make_shop

    made = make_shop(tmp_path_factory.mktemp("trained") / "shop")
    yield made
    made.close()
