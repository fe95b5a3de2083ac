"""A packaged version is built and run for real with Podman: it answers as outside, and loses nothing it acknowledged.

No registry is asked: the base image is bootstrapped from Debian's packages, the wheels are those of this environment.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from loop_kit import write_project
from mainstay.core.events import Event, Kind
from mainstay.journal.read import Journal
from mainstay.models import answers
from mainstay.project import Project
from mainstay.serve.keys import hash_of, new_key
from ports_kit import free_port

INSTALL = "apt-get install -y podman buildah runc netavark aardvark-dns mmdebstrap iptables"
HARD = (
    "--network=host",
    "--memory=512m",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
)
BOOTSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--include=python3,python3-venv",
    "--dpkgopt=force-unsafe-io",  # nobody keeps it
)
MOST_MB = 320
"""Beyond the base image; Polars alone, which seals the journal, is 180 MB."""
pytestmark = [pytest.mark.slow]


def missing() -> str:
    """Return why no container can be run here, or an empty text; in CI that is a failure, not a reason to skip."""
    absent = [name for name in ("podman", "buildah", "runc", "mmdebstrap") if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed: {INSTALL}"
    return "" if os.geteuid() == 0 else "root bootstraps the base image"


@dataclass
class Pod:
    """Podman with a storage of its own, the image, and what is known of it."""

    folder: Path
    project: Path
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def context(self) -> Path:
        return self.project / "build" / "container"

    def podman(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        environ = os.environ | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }
        command = ["podman", *map(str, arguments)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=900)
        assert not check or done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done

    def build(self, context: Path, tag: str) -> subprocess.CompletedProcess[str]:
        return self.podman(
            *("build", "--quiet", "--layers=false", "--format=docker", "--network=none", "--tag", tag),
            *("--build-arg", "BASE=localhost/base:1"),
            *("--build-arg", "PIP_OPTIONS=--no-index --find-links=/wheels"),
            *("--volume", f"{self.folder / 'wheels'}:/wheels:ro", context),
            check=False,
        )

    def inspect(self, name: str, path: str) -> str:
        return self.podman("inspect", "--format", path, name).stdout.strip()

    def logs(self, name: str) -> str:
        done = self.podman("logs", name)
        return done.stdout + done.stderr


@dataclass
class Server:
    """One container that serves."""

    pod: Pod
    name: str
    port: int

    def ask(self, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return json.loads(post(self.port, {"instances": list(instances)}))["predictions"]

    def until_ready(self, *, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/readyz")
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"not ready after {seconds} s: {self.pod.logs(self.name)}")


KEY = new_key()
KEYS = f"--env=MAINSTAY_API_KEYS=test:predict:sha256={hash_of(KEY)}"
CALLER = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}


def post(port: int, body: Any) -> bytes:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("POST", "/v1/predict", json.dumps(body), CALLER)
        answer = connection.getresponse()
        text = answer.read()
    assert answer.status == 200, text
    return text


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """Return Podman with the image of a small text project."""
    why = missing()
    if why:
        assert os.environ.get("CI") != "true", why
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("pod")
    made = Pod(folder=folder, project=folder / "shop")
    try:
        prepare(made)
        yield made
    finally:
        for arguments in (("rm", "-f", "-a", "-t", "0"), ("rmi", "-f", "-a"), ("volume", "rm", "-f", "-a")):
            made.podman(*arguments, check=False)
        print(f"\ncontainer: {json.dumps(made.figures)}")


def prepare(made: Pod) -> None:
    (made.folder / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\nruntime = "runc"\n'
    )
    (made.folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{made.folder}/storage"\nrunroot = "{made.folder}/run"\n'
    )
    base = made.folder / "base.tar"
    bootstrap = subprocess.Popen(
        [*BOOTSTRAP, "bookworm", str(base)],
        stdin=subprocess.DEVNULL,
    )
    try:
        write_project(made.project)
        project = Project.open(made.project, environ={})
        assert project.train().passed
        began = time.monotonic()
        project.package()
        made.figures["package_s"] = round(time.monotonic() - began, 1)
        project.parts.close()
        download(made)
        assert bootstrap.wait(900) == 0
    finally:
        if bootstrap.poll() is None:
            bootstrap.kill()
            bootstrap.wait()
    made.podman("import", "--quiet", base, "base:1")
    base.unlink()
    began = time.monotonic()
    built = made.build(made.context, "shop:1")
    assert built.returncode == 0, built.stderr[-3000:]
    made.figures["build_s"] = round(time.monotonic() - began, 1)


def download(made: Pod) -> None:
    """Fetch the wheels that the context names, of the versions that are installed here."""
    for path in made.context.glob("requirements*.txt"):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(made.folder / "wheels")]
        subprocess.run([*command, "-r", str(path)], check=True, capture_output=True, timeout=900)


@pytest.fixture
def server(pod: Pod, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return a container that serves from a volume of its own."""
    made = start(pod, f"c-{abs(hash(request.node.name))}")
    try:
        made.until_ready()
        yield made
    finally:
        pod.podman("rm", "-f", "-t", "0", made.name, check=False)


def start(pod: Pod, name: str, *more: str) -> Server:
    port = free_port()
    pod.podman(
        *("run", "--detach", "--name", name, *HARD, "--volume", f"{name}:/state"),
        *("--env", f"MAINSTAY_SERVE__PORT={port}", KEYS, *more, "shop:1"),
    )
    return Server(pod=pod, name=name, port=port)


def predictions(server: Server) -> list[Event]:
    """Return what is in the container's volume, read from outside as the loop reads it."""
    volume = server.pod.podman("volume", "inspect", "--format", "{{.Mountpoint}}", server.name).stdout.strip()
    events, _ = Journal(Path(volume) / "journal").read({}, 1_000_000)
    return [event for event in events if event.kind is Kind.PREDICTION]


def shop_rows(pod: Pod) -> list[dict[str, Any]]:
    lines = (pod.project / "test.csv").read_text().splitlines()[1:]
    return [dict(zip(("text", "buyer"), line.split(",")[:2], strict=True)) for line in lines]


def test_the_image_is_small_names_its_version_and_holds_no_secret_and_no_training_data(pod: Pod) -> None:
    base, whole = (int(pod.inspect(name, "{{.Size}}")) / 1e6 for name in ("base:1", "shop:1"))
    pod.figures |= {"base_mb": round(base), "image_mb": round(whole), "beyond_base_mb": round(whole - base)}
    assert whole - base < MOST_MB
    release = json.loads((pod.context / "packaged" / "packaged.json").read_text())
    labels = json.loads(pod.inspect("shop:1", "{{json .Config.Labels}}"))
    assert (labels["mainstay.model"], labels["mainstay.version"]) == ("shop", "1")
    assert labels["mainstay.digest"] == release["digest"]
    assert labels["mainstay.snapshot"] == release["lineage"]["snapshot"]
    find = ("run", "--rm", "--network=none", "--user=0", "--entrypoint=/usr/bin/find", "shop:1")
    paths = pod.podman(*find, "/", "-xdev").stdout.splitlines()
    assert "/opt/mainstay/lib/python3.11/site-packages/mainstay/serve/handle.py" in paths
    unwanted = ("salt", "store.db", "train.csv", "test.csv", "keys.json", "model.py", "pandas", "sklearn", "mlflow")
    assert [path for path in paths if Path(path).name in unwanted and "site-packages/mainstay" not in path] == []
    assert pod.podman(*find, "/state").stdout.split() == ["/state"]


def test_it_predicts_as_outside_as_nobody_on_a_read_only_root(server: Server) -> None:
    rows = shop_rows(server.pod)
    project = Project.open(server.pod.project, environ={})
    expected = answers.answer(project.parts.open_version("shop@1"), rows)
    said = server.ask([{"inputs": row} for row in rows])
    assert [one["label"] for one in said] == [one.label for one in expected]
    pairs = [(one["probabilities"], e.probabilities) for one, e in zip(said, expected, strict=True)]
    gaps = [abs(there[name] - here[name]) for there, here in pairs for name in here]
    assert max(gaps) <= 1e-12
    assert [one["confidence"] for one in said] == pytest.approx([one.confidence for one in expected], abs=1e-12)

    podman, name = server.pod.podman, server.name
    assert podman("exec", name, "id", "-u").stdout.strip() == "10001"
    assert "Read-only file system" in podman("exec", name, "touch", "/packaged/x", check=False).stderr
    assert "Read-only file system" in podman("exec", name, "touch", "/tmp/x", check=False).stderr
    status = podman("exec", name, "cat", "/proc/1/status").stdout
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert podman("healthcheck", "run", name).returncode == 0
    assert server.pod.inspect(name, "{{.State.Health.Status}}") == "healthy"
    pids = podman("top", name, "hpid").stdout.split()[1:]
    server.pod.figures["rss_mb"] = round(sum(rss_mb(int(pid)) for pid in pids))


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Users:
    """Ask one row after the other from several threads, and note which were acknowledged."""

    def __init__(self, server: Server, rows: Sequence[dict[str, Any]], *, threads: int = 4) -> None:
        self.acknowledged: list[str] = []
        self._server, self._rows = server, rows
        self._threads = [threading.Thread(target=self._go, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _go(self, thread: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=10)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            for number in range(100_000):
                row = self._rows[number % len(self._rows)]
                body = {"instances": [{"id": f"u{thread}-{number}", "key": row["buyer"], "inputs": row}]}
                connection.request("POST", "/v1/predict", json.dumps(body), CALLER)
                answer = connection.getresponse()
                text = answer.read()
                assert answer.status == 200, text
                self.acknowledged.append(json.loads(text)["predictions"][0]["id"])

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 120
        while len(self.acknowledged) < count:
            assert time.monotonic() < deadline, self._server.pod.logs(self._server.name)
            time.sleep(0.005)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(120)


def test_a_kill_in_the_middle_of_traffic_loses_no_acknowledged_record_and_the_volume_goes_on(server: Server) -> None:
    pod, name = server.pod, server.name
    rows = shop_rows(pod)
    users = Users(server, rows)
    users.wait_for(300)
    pod.podman("kill", "--signal=KILL", name)
    users.join()
    assert pod.inspect(name, "{{.State.ExitCode}}") == "137"

    kept = [event.id for event in predictions(server)]
    assert set(users.acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))

    began = time.monotonic()
    pod.podman("start", name)
    server.until_ready()
    pod.figures["start_to_ready_s"] = round(time.monotonic() - began, 1)
    repeated = users.acknowledged[-1]
    row = rows[int(repeated.rpartition("-")[2]) % len(rows)]
    (said,) = server.ask([{"id": repeated, "key": row["buyer"], "inputs": row}])
    assert said["duplicate"] is True
    (new,) = server.ask([{"id": "after", "key": rows[0]["buyer"], "inputs": rows[0]}])
    assert (new["id"], new["duplicate"]) == ("after", False)

    pod.podman("stop", "--time=20", name)
    assert pod.inspect(name, "{{.State.ExitCode}}") == "0"
    again = predictions(server)
    assert sorted(event.id for event in again) == sorted([*kept, "after"])
    of_one = {event.key_hash for event in again if event.id in ("after", "u0-0")}
    assert len(of_one) == 1, "the volume keeps the salt: the same key has the same hash after the restart"


def test_the_loop_watches_a_container_that_writes_into_the_projects_journal(pod: Pod) -> None:
    state = pod.project / ".mainstay"
    for folder in (state / "container", state / "journal"):
        folder.mkdir(exist_ok=True)
    port, name = free_port(), "home"
    mounts = (f"{state / 'container'}:/state", f"{state / 'journal'}:/state/journal")
    volumes = [word for mount in mounts for word in ("--volume", mount)]
    environ = (f"--env=MAINSTAY_SERVE__PORT={port}", KEYS)
    user = f"--user={os.getuid()}:{os.getgid()}"
    pod.podman("run", "--detach", "--name", name, *HARD, user, *volumes, *environ, "shop:1")
    server = Server(pod=pod, name=name, port=port)
    try:
        server.until_ready()
        rows = shop_rows(pod)
        server.ask([{"key": row["buyer"], "inputs": row} for row in rows])
        project = Project.open(pod.project, environ={})
        assert project.turn().failed == {}
        status = project.status()
        assert status.answering is not None
        assert status.answering.name == "shop@1"
        assert status.traffic.rows == len(rows)
        project.parts.close()
    finally:
        pod.podman("rm", "-f", "-t", "10", name, check=False)


def test_a_damaged_bundle_fails_the_build_and_the_start_with_a_clear_message(pod: Pod, tmp_path: Path) -> None:
    damaged = tmp_path / "packaged"
    shutil.copytree(pod.context / "packaged", damaged)
    (pickle,) = damaged.rglob("model.pkl")
    pickle.write_bytes(pickle.read_bytes()[:-1] + b"!")
    lines = (pod.context / "Dockerfile").read_text().splitlines()
    (step,) = [line.removeprefix("RUN ").split() for line in lines if line.startswith("RUN /opt/mainstay/bin/python")]
    start = json.loads(pod.inspect("shop:1", "{{json .Config.Entrypoint}}"))
    for command in (step, start):
        mount = ("--volume", f"{damaged}:/packaged:ro", f"--entrypoint={json.dumps(command)}")
        done = pod.podman("run", "--rm", *HARD, *mount, "shop:1", check=False)
        assert done.returncode == 6
        assert "shop@1 cannot be served" in done.stderr
        assert "model.pkl has digest" in done.stderr
        assert "Remedy: Run `mainstay package` and build again." in done.stderr
        assert "Traceback" not in done.stderr


def test_a_state_folder_that_cannot_be_written_is_said_at_the_start(pod: Pod) -> None:
    done = pod.podman("run", "--rm", *HARD, "--user=4711", "shop:1", check=False)
    assert done.returncode == 6
    assert "the state folder /state cannot be written by user 4711" in done.stderr
