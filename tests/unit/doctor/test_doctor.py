"""Each finding, by causing it."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from loop_kit import Shop
from mainstay.config.clocks import SharedClock, SystemClock
from mainstay.doctor import machine, processes
from mainstay.doctor.examine import examine
from mainstay.doctor.records import Finding, Severity
from mainstay.journal.personal import read_or_make_salt
from mainstay.journal.seal import seal_closed
from mainstay.journal.writer import SegmentWriter
from mainstay.models import environment, own
from mainstay.serve import control
from mainstay.store import heartbeats, leases
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock

QUIET = {"MAINSTAY_WEB__PORT": "0", "MAINSTAY_TRAIN__MEMORY_MB": "256"}


class Patient:
    """A healthy project."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.folder = shop.folder
        self.state = shop.state
        read_or_make_salt(self.state / "salt")
        with sqlite3.connect(self.state / "mlflow.db") as runs:
            runs.execute("CREATE TABLE runs (id)")
        runs.close()

    def look(self, *, path: Path | None = None, **environ: str) -> list[Finding]:
        return list(examine(path or self.folder, environ=QUIET | environ).findings)

    def ill(self, **environ: str) -> dict[str, Finding]:
        """Return what is not well, by check."""
        return {one.check: one for one in self.look(**environ) if one.severity is not Severity.OK}

    def only(self, check: str, severity: Severity, **environ: str) -> str:
        """Return what was seen by the one check that is not well."""
        ill = self.ill(**environ)
        assert {name: one.severity for name, one in ill.items()} == {check: severity}, ill
        assert ill[check].remedy
        return ill[check].seen

    def edit(self, old: str, new: str) -> None:
        file = self.folder / "mainstay.toml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def sql(self, statement: str) -> list[str]:
        with sqlite3.connect(self.state / "store.db") as store:
            found = [str(row[0]) for row in store.execute(statement).fetchall()]
        store.close()
        return found

    def store(self) -> Store:
        return Store.open(f"sqlite:///{self.state / 'store.db'}", clock=SystemClock())


@pytest.fixture
def patient(trained_shop: Shop, tmp_path: Path) -> Patient:
    return Patient(trained_shop.copy(tmp_path / "shop"))


def contents(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def test_a_healthy_project_has_nothing_to_mend(patient: Patient) -> None:
    assert patient.ill() == {}
    assert len(patient.look()) > 20


def test_looking_changes_nothing_on_disk(patient: Patient) -> None:
    patient.shop.customers(5)
    before = contents(patient.folder)
    patient.look()
    assert contents(patient.folder) == before


def test_a_project_that_has_not_begun_is_healthy_and_stays_empty(patient: Patient) -> None:
    shutil.rmtree(patient.state)
    assert patient.ill() == {}
    assert not patient.state.exists()


def test_outside_a_project_the_machine_alone_is_looked_at(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = examine(tmp_path / "empty", environ={})
    assert found.project is None
    assert {one.check for one in found.findings} >= {"python", "packages", "sqlite", "clock", "project"}
    assert not {one.check for one in found.findings} & {"store", "journal", "disk"}


def test_a_broken_project_file_is_a_finding_beside_those_of_the_machine(patient: Patient) -> None:
    patient.edit("port = 0", "prot = 0")
    patient.edit('task = "binary"', 'task = "guessing"')
    found = patient.look()
    wrong = [one.seen for one in found if one.severity is Severity.FAIL]
    assert len(wrong) == 2
    assert any("'port'" in seen for seen in wrong)
    assert "packages" in {one.check for one in found}


# the machine


def test_a_python_that_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "OLDEST", (3, 12 if sys.version_info[:2] == (3, 11) else 15))
    monkeypatch.setattr(machine, "NEWEST", (3, 99))
    [found] = machine.python()
    assert found.severity is Severity.FAIL


def test_packages_that_are_absent_of_another_version_or_do_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "needy-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: needy\nVersion: 1.0\nRequires-Dist: numpy>=99\n"
        "Requires-Dist: no-such-thing\nRequires-Dist: polars\nRequires-Dist: other; extra == 'more'\n"
    )
    (tmp_path / "fragile.py").write_text("raise OSError('libfragile.so is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(machine, "IMPORTED", ("fragile", "polars"))
    unmet, broken = machine.packages("needy")
    assert unmet.severity is broken.severity is Severity.FAIL
    assert "numpy is " in unmet.seen
    assert "no-such-thing is not installed" in unmet.seen
    assert "other" not in unmet.seen
    assert broken.seen == "fragile does not load: OSError: libfragile.so is missing"


def test_a_clock_in_the_past_and_one_that_is_stepped(patient: Patient, tmp_path: Path) -> None:
    SharedClock.create(tmp_path / "clock", base=datetime(2001, 1, 1, tzinfo=UTC), rate=1.0)
    ill = patient.ill(MAINSTAY_CLOCK=str(tmp_path / "clock"))
    assert ill["clock"].severity is ill["store time"].severity is Severity.FAIL
    assert ill["file times"].severity is Severity.WARN

    class Stepped(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.jump(self.now() - timedelta(hours=1))

    [found] = machine.clock(Stepped())
    assert found.severity is Severity.WARN
    assert "moved -3599.95 s" in found.seen


def test_a_shared_clock_that_cannot_be_read(patient: Patient) -> None:
    assert patient.ill(MAINSTAY_CLOCK="/nowhere/clock")["clock"].severity is Severity.FAIL


@pytest.mark.parametrize(("soft", "severity"), [(200, Severity.FAIL), (600, Severity.WARN)])
def test_too_few_open_files(patient: Patient, soft: int, severity: Severity) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        assert str(soft) in patient.only("open files", severity)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_less_memory_than_a_training_may_take(patient: Patient, tmp_path: Path) -> None:
    assert "train.memory_mb" in patient.only("memory", Severity.WARN, MAINSTAY_TRAIN__MEMORY_MB="99000000")
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    (tmp_path / "memory.max").write_text("512000000\n")
    (tmp_path / "memory.current").write_text("112000000\n")
    assert machine.free_memory_mb(tmp_path / "meminfo", tmp_path) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_memory_mb(tmp_path / "meminfo", tmp_path) == 7812


def test_more_workers_than_processors(patient: Patient) -> None:
    assert "64 workers" in patient.only("processors", Severity.WARN, MAINSTAY_SERVE__WORKERS="64")


# the folder


def test_a_state_folder_that_is_open_to_all_or_no_folder(patient: Patient) -> None:
    patient.state.chmod(0o777)
    patient.only("state folder", Severity.WARN)
    patient.state.chmod(0o755)
    assert "every user of this machine may look into" in patient.only("state folder", Severity.WARN)
    shutil.rmtree(patient.state)
    patient.state.write_text("")
    ill = patient.ill()
    assert ill["state folder"].severity is Severity.FAIL


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become another user")
def test_a_state_folder_of_another_user(patient: Patient, tmp_path_factory: pytest.TempPathFactory) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "shop"
        shutil.copytree(patient.folder, folder)
        Path(place).chmod(0o755)
        code = (
            "from pathlib import Path; from mainstay.doctor.examine import examine\n"
            f"for one in examine(Path({str(folder)!r}), environ={QUIET!r}).findings: print(one.severity, one.check)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], user=65534, group=65534, capture_output=True, text=True, check=False
        )
        assert "fail state folder" in done.stdout, done.stderr
        assert "fail salt" in done.stdout


@pytest.mark.parametrize(("options", "says"), [("size=100m", "GB are free"), ("size=3g,nr_inodes=300", "inodes")])
def test_a_disk_that_is_nearly_full(patient: Patient, tmp_path: Path, options: str, says: str) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs the right to mount: run as root with unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    code = (
        "from pathlib import Path; from mainstay.doctor.examine import examine\n"
        f"for one in examine(Path('{disk}/shop'), environ={QUIET!r}).findings: print(one.severity, one.check, one.seen)"
    )
    script = f'mount -t tmpfs -o {options} tmpfs {disk} && cp -r {patient.folder} {disk}/shop && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = [line for line in done.stdout.splitlines() if " disk " in line]
    assert line.startswith("fail")
    assert says in line


def test_a_salt_that_others_may_read_that_is_cut_off_and_that_is_gone(patient: Patient) -> None:
    patient.shop.customers(1)
    salt = patient.state / "salt"
    salt.write_text("ab" * 32)
    salt.chmod(0o644)
    assert "mode 644" in patient.only("salt", Severity.WARN)
    salt.write_text("short")
    assert "5 characters" in patient.only("salt", Severity.FAIL)
    salt.unlink()
    assert "is gone" in patient.only("salt", Severity.FAIL)


def test_what_killed_runs_left(patient: Patient) -> None:
    draft = patient.state / "bundles" / ".new-abc"
    draft.mkdir()
    assert patient.ill() == {}  # it may be at work
    os.utime(draft, (1e9, 1e9))
    assert "bundles/.new-abc" in patient.only("leftovers", Severity.WARN)


def test_a_file_from_the_future(patient: Patient) -> None:
    os.utime(patient.folder / "mainstay.toml", (4e9, 4e9))
    assert "2096" in patient.only("file times", Severity.WARN)


def test_data_that_is_gone_or_empty(patient: Patient) -> None:
    (patient.folder / "train.csv").unlink()
    (patient.folder / "test.csv").write_text("")
    seen = patient.only("data", Severity.FAIL)
    assert "there is no train.csv" in seen
    assert "test.csv is empty" in seen


def test_an_address_of_alerts_that_cannot_be_used(patient: Patient) -> None:
    patient.edit('to = "log://"', 'to = "mail to bob"')
    assert "names no scheme" in patient.only("alerts", Severity.FAIL)


# the journal


def test_a_damaged_record_inside_a_segment(patient: Patient) -> None:
    patient.shop.customers(20)
    [segment] = (patient.state / "journal" / "active").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    assert "1 records inside are damaged" in patient.only("journal", Severity.FAIL)


def test_a_sealed_part_that_is_gone_and_segments_set_aside(patient: Patient) -> None:
    patient.shop.customers(5)
    [part] = seal_closed(patient.state / "journal")
    part.unlink()
    assert "is gone" in patient.only("journal", Severity.FAIL)
    shutil.rmtree(patient.state / "journal" / "sealed")
    (patient.state / "journal" / "damaged").mkdir()
    (patient.state / "journal" / "damaged" / "w0-000000000001.seg").write_bytes(b"")
    assert "kept in" in patient.only("journal", Severity.WARN)


def test_a_writer_that_died(patient: Patient) -> None:
    events = patient.shop.customers(3)
    writer = SegmentWriter(patient.state / "journal", "w7", durability="os", segment_mb=1)
    try:
        import msgspec

        seq = writer.next_seq
        writer.commit([msgspec.structs.replace(e, worker="w7", seq=seq + n) for n, e in enumerate(events)])
        assert patient.ill() == {}  # it lives
        [open_segment] = (patient.state / "journal" / "active").glob("w7-*.seg")
        data = open_segment.read_bytes()
    finally:
        writer.close()
    open_segment.write_bytes(data)
    assert "w7" in patient.only("journal", Severity.WARN)


# the store


def test_a_store_that_is_no_database(patient: Patient) -> None:
    (patient.state / "store.db").write_bytes(b"nonsense" * 1000)
    assert "damaged" in patient.only("store", Severity.FAIL)


def test_a_store_whose_history_was_changed(patient: Patient) -> None:
    patient.sql("DROP TRIGGER IF EXISTS release_events_no_update")
    names = [
        row[0]
        for row in sqlite3.connect(patient.state / "store.db").execute(
            "SELECT name FROM sqlite_master WHERE type='trigger'"
        )
    ]
    for name in names:
        patient.sql(f"DROP TRIGGER {name}")
    patient.sql("UPDATE release_events SET reason = 'nothing to see' WHERE version = 1")
    assert patient.ill()["store"].severity is Severity.FAIL


def test_a_store_of_another_schema(patient: Patient) -> None:
    patient.sql("UPDATE alembic_version SET version_num = '9999'")
    assert "schema '9999'" in patient.only("store", Severity.FAIL)


def test_a_store_that_was_switched_to_a_write_ahead_log(patient: Patient) -> None:
    held = sqlite3.connect(patient.state / "store.db")
    held.execute("PRAGMA journal_mode = WAL").fetchall()
    held.close()
    assert "write-ahead log" in patient.only("store", Severity.WARN)


def test_a_transaction_that_was_cut_off(patient: Patient) -> None:
    code = (
        "import os, signal, sqlite3, sys\n"
        "store = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "store.execute('PRAGMA cache_size = 1'); store.execute('BEGIN IMMEDIATE')\n"
        "store.execute('CREATE TABLE big (x)')\n"
        "store.executemany('INSERT INTO big VALUES (?)', [('x' * 3000,) for _ in range(500)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(patient.state / "store.db")], check=False)
    assert (patient.state / "store.db-journal").stat().st_size > 0
    assert "in the middle of a transaction" in patient.only("store", Severity.WARN)
    patient.store().close()
    assert patient.ill() == {}


def dead_pid() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_a_lease_of_a_dead_loop(patient: Patient) -> None:
    store = patient.store()
    with store.begin() as tx:
        leases.acquire(tx, "loop", f"{socket.gethostname()}:{dead_pid()}", 600.0, datetime.now(UTC))
    store.close()
    assert "is dead" in patient.only("loop", Severity.WARN)


def test_a_lease_of_a_living_loop_is_well(patient: Patient) -> None:
    store = patient.store()
    with store.begin() as tx:
        leases.acquire(tx, "loop", f"{socket.gethostname()}:{os.getpid()}", 600.0, datetime.now(UTC))
    store.close()
    assert patient.ill() == {}


def test_a_step_that_the_last_turn_could_not_do(patient: Patient) -> None:
    store = patient.store()
    with store.begin() as tx:
        heartbeats.beat(tx, "loop", datetime.now(UTC), {"failed": {"aliases": "MLflow is away"}})
    store.close()
    assert "aliases: MLflow is away" in patient.only("loop", Severity.FAIL)


def test_a_bundle_that_was_changed(patient: Patient) -> None:
    for digest in {release.version: release.digest for release in patient.shop.releases().values()}.values():
        pickled = patient.state / "bundles" / digest / "model" / "model.pkl"
        pickled.chmod(0o644)
        pickled.write_bytes(pickled.read_bytes() + b"x")
        break
    assert "model.pkl" in patient.only("bundles", Severity.FAIL)


def test_a_bundle_whose_code_nobody_here_vouched_for(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "is_pickled", lambda bundle: True)
    for signature in (patient.state / own.FOLDER).iterdir():
        signature.unlink()
    assert "this project's key did not sign" in patient.only("bundles", Severity.FAIL)


def test_a_version_that_was_trained_with_other_packages(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_version", lambda name: "0.0.1" if name == "scikit-learn" else None)
    assert "scikit-learn is 0.0.1 here" in patient.only("environment", Severity.WARN)


# MLflow


def test_mlflow_files_that_are_gone_or_broken(patient: Patient) -> None:
    (patient.state / "mlflow.db").write_bytes(b"nonsense" * 100)
    assert "no SQLite file" in patient.only("mlflow", Severity.FAIL)
    (patient.state / "mlflow.db").unlink()
    assert "is gone" in patient.only("mlflow", Severity.WARN)


@contextmanager
def web_server(answer: int = 200, text: str = "OK") -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_mlflow_servers_that_answer_refuse_and_are_away(patient: Patient) -> None:
    with web_server() as port:
        assert patient.ill(MAINSTAY_REGISTRY__URL=f"http://127.0.0.1:{port}") == {}
    away = patient.only("mlflow", Severity.FAIL, MAINSTAY_REGISTRY__URL=f"http://user:secret@127.0.0.1:{port}")
    assert "does not answer" in away
    assert "secret" not in away
    with web_server(500) as port:
        assert "500" in patient.only("mlflow", Severity.FAIL, MAINSTAY_REGISTRY__URL=f"http://127.0.0.1:{port}")


# ports and processes


def test_ports_that_somebody_else_holds(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in patient.only("port serve", Severity.FAIL, MAINSTAY_SERVE__PORT=port)
    with web_server(text="something else") as web:
        assert str(web) in patient.only("port web", Severity.FAIL, MAINSTAY_WEB__PORT=str(web))
    with web_server(text="<title>shop · Mainstay</title>") as web:
        assert patient.ill(MAINSTAY_WEB__PORT=str(web)) == {}


def test_a_server_that_was_killed_is_told_from_one_that_was_stopped(patient: Patient) -> None:
    run = patient.state / "run"
    run.mkdir(exist_ok=True)
    told = f'{{"pid": {dead_pid()}, "port": 1, "state": "serving"}}'
    (run / "serve.json").write_text(told)
    assert "was killed" in patient.only("server", Severity.WARN)
    (run / "serve.json").write_text(told.replace("serving", "stopped"))
    assert patient.ill() == {}


def test_a_server_that_does_not_answer(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ANSWER_S", 0.2)
    run = patient.state / "run"
    run.mkdir(exist_ok=True)
    (run / "serve.json").write_text(f'{{"pid": {os.getpid()}, "port": 1, "state": "serving"}}')
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
        path = control.socket_path(run)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        deaf.bind(str(path))
        deaf.listen(8)
        try:
            assert "does not answer" in patient.only("server", Severity.FAIL)
        finally:
            path.unlink()
            if path.parent != run:
                path.parent.rmdir()


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Mapping[str, str]) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(machine, "sqlite", lambda: broken({}))
    assert "RuntimeError: no such luck" in patient.only("sqlite", Severity.FAIL)
