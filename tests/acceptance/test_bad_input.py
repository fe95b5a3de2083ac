"""Bad input everywhere: each case leaves with the right exit code, names what is wrong and the remedy, loses nothing.

Commands run in this process where they only read, in processes of their own where they train or serve.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mainstay.cli.main import app
from mainstay.starter import example
from ports_kit import free_port

SRC = str(Path(__file__).parents[2] / "src")
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY")} | {"PYTHONPATH": SRC}
TRAIN, TEST = "data/train.csv", "data/test.csv"
Row = dict[str, str]
Harm = Callable[[Path], None]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("MAINSTAY"):
            monkeypatch.delenv(name)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return made(tmp_path / "pumps")


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made(tmp_path_factory.mktemp("trained") / "pumps")
    assert mainstay("train", cwd=folder)["stage"] == "certified"
    return folder


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained_once, tmp_path / "pumps")


def made(folder: Path) -> Path:
    """Write the template project with one quick pipeline."""
    example.write(folder)
    put(folder, "mainstay.toml", 'forest = { build = "model:build_forest", features = "features:features" }\n', "")
    put(folder, "mainstay.toml", 'pipeline = "forest"', 'pipeline = "linear"')
    put(folder, "mainstay.toml", 'pipelines = ["forest", "linear"]', 'pipelines = ["linear"]')
    return folder


def put(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert text.count(old) == 1, (name, old)
    (folder / name).write_text(text.replace(old, new))


def change_rows(folder: Path, name: str, change: Callable[[list[Row]], list[Row]]) -> None:
    with (folder / name).open(newline="") as file:
        rows = change(list(csv.DictReader(file)))
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def fails(folder: Path, *command: str, code: int) -> dict[str, Any]:
    """Run a command that must fail; return its error, which stands on stdout as the one JSON document."""
    result = CliRunner().invoke(app, [*command, "-C", str(folder), "--json"])
    return error_of(result.exit_code, result.stdout, result.stderr, code)


def error_of(exit_code: int, stdout: str, stderr: str, code: int) -> dict[str, Any]:
    assert exit_code == code, stderr
    error: dict[str, Any] = json.loads(stdout)["error"]
    assert (error["exit_code"], bool(error["remedy"])) == (code, True)
    assert f"Error: {error['message'].splitlines()[0]}" in stderr
    assert "Remedy: " in stderr
    assert "Traceback" not in stderr
    return error


def told(error: dict[str, Any]) -> str:
    """Return everything that an error says."""
    return json.dumps([error["message"], error["remedy"], error["problems"]], ensure_ascii=False)


def check(folder: Path) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["check", "-C", str(folder), "--json"])
    assert "Traceback" not in result.stderr
    return result.exit_code, json.loads(result.stdout)


def process(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mainstay", *command, "--json"]
    return subprocess.run(argv, cwd=cwd, env=ENVIRON, capture_output=True, text=True, check=False, timeout=600)


def mainstay(*command: str, cwd: Path) -> dict[str, Any]:
    """Run a command in a process of its own; it must succeed."""
    done = process(*command, cwd=cwd)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


# Data.


def only(name: str) -> Harm:
    return lambda folder: change_rows(folder, TRAIN, lambda rows: [r for r in rows if r["condition"] == name])


def renamed(old: str, new: str, name: str = TRAIN) -> Harm:
    return lambda folder: change_rows(
        folder, name, lambda rows: [{(new if k == old else k): v for k, v in row.items()} for row in rows]
    )


def without(column: str, name: str = TRAIN) -> Harm:
    return lambda folder: change_rows(
        folder, name, lambda rows: [{k: v for k, v in row.items() if k != column} for row in rows]
    )


def with_field(kind: str, value: Callable[[int, str], object]) -> Harm:
    """Add the field `leak`, made of the row's number and its target."""

    def harm(folder: Path) -> None:
        for name in (TRAIN, TEST):
            change_rows(
                folder,
                name,
                lambda rows: [row | {"leak": str(value(i, row["condition"]))} for i, row in enumerate(rows)],
            )
        put(folder, "mainstay.toml", "[target]\n", f'[fields.leak]\ntype = "{kind}"\n\n[target]\n')

    return harm


def header_only(name: str) -> Harm:
    return lambda folder: (folder / name).write_text((folder / name).read_text().splitlines(keepends=True)[0]) and None


def wrong_numbers(folder: Path) -> None:
    change_rows(folder, TRAIN, lambda rows: [r | {"temperature_c": "warm"} for r in rows[:300]] + rows[300:])


def cut(folder: Path) -> None:
    (folder / TRAIN).write_bytes((folder / TRAIN).read_bytes()[:-40])


def utf16(folder: Path) -> None:
    (folder / TRAIN).write_text((folder / TRAIN).read_text(), encoding="utf-16")


BAD_DATA: dict[str, tuple[Harm, tuple[str, ...]]] = {
    "absent": (lambda folder: (folder / TRAIN).unlink(), ("there is no data/train.csv", "Put the file at")),
    "empty": (lambda folder: (folder / TRAIN).write_text("") and None, ("train.csv is empty (0 bytes)", "Write rows")),
    "header only": (header_only(TRAIN), ("data/train.csv holds no rows", "Put rows into it")),
    "header only, test": (header_only(TEST), ("data/test.csv holds no rows",)),
    "one class": (only("fine"), ("condition", "is one class only", "fine")),
    "a column missing": (without("vibration_mm_s"), ("vibration_mm_s", "is missing in 900 rows", "a finite number")),
    "a column misspelt": (renamed("vibration_mm_s", "vibration_mms"), ('"nearest": "vibration_mm_s"',)),
    "no target": (renamed("condition", "conditon"), ("has no column condition", '"nearest": "conditon"')),
    "no target, test": (without("condition", TEST), ("data/test.csv", "has no column condition")),
    "the target as a feature": (with_field("category", lambda _, y: y), ("leak", "is the target itself")),
    "the target renamed": (with_field("category", lambda _, y: {"fine": "0"}.get(y, "1")), ("under other names",)),
    "wrong types": (wrong_numbers, ("temperature_c", "is of the wrong type in 300 rows", "warm", "a finite number")),
    "half-written": (cut, ("train.csv is half-written", "Write the file again")),
    "another encoding": (utf16, ("train.csv is not UTF-8", "iconv -f UTF-16")),
    "test is train": (lambda folder: shutil.copy(folder / TRAIN, folder / TEST) and None, ("900 of 900",)),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_leave_with_three_and_are_named(project: Path, case: str) -> None:
    harm, words = BAD_DATA[case]
    harm(project)
    error = fails(project, "train", code=3)
    assert [word for word in words if word not in told(error)] == []
    code, report = check(project)
    said = json.dumps(report["problems"])
    assert (code, report["ok"]) == (3, False)
    assert [word for word in words if word not in said] == []
    assert all(p["where"].startswith(("data.train", "data.test", "train", "test")) for p in report["problems"])


def test_a_field_that_tells_the_target_is_warned_of_before_any_training(project: Path) -> None:
    with_field("category", lambda i, y: f"{y[0]}{i % 7}")(project)
    code, report = check(project)
    assert code == 0
    (warning,) = report["warnings"]
    assert (warning["where"], warning["value"]) == ("train, leak", "100.0% of the rows")


# The project's code.

HEAD = "from sklearn.dummy import DummyClassifier\nfrom sklearn.linear_model import LogisticRegression\n"


def build(body: str, head: str = HEAD) -> Harm:
    text = f"{head}def build_linear(params):\n    {body}\n"
    return lambda folder: (folder / "model.py").write_text(text) and None


def features(body: str) -> Harm:
    text = f"import numpy as np\nimport polars as pl\ndef features(frame):\n    {body}\n"
    return lambda folder: (folder / "features.py").write_text(text) and None


def predicts(body: str) -> Harm:
    head = f"{HEAD}import numpy as np\nclass Bad(DummyClassifier):\n    def predict_proba(self, X):\n        {body}\n"
    return build("return Bad()", head)


BAD_CODE: dict[str, tuple[Harm, str]] = {
    "no file": (lambda folder: (folder / "model.py").unlink(), "model.py does not exist"),
    "syntax": (build("return ("), "model.py:4: '(' was never closed"),
    "import": (build("return 1", "import xgbost\n"), "Install 'xgbost' into this environment"),
    "no such function": (lambda folder: put(folder, "model.py", "build_linear", "build_lineer"), "did you mean"),
    "build raises": (build("raise RuntimeError('no licence')"), "model.py:4: RuntimeError: no licence"),
    "build takes nothing": (lambda folder: put(folder, "model.py", "linear(params)", "linear()"), "takes 0 positional"),
    "build gives nothing": (build("pass"), "its function returned None"),
    "build gives a class": (build("return LogisticRegression"), "Call it: return LogisticRegression(…)."),
    "build gives a text": (build("return 'logistic'"), "builds a str without fit and predict_proba()"),
    "leaves": (build("return 1", "import sys\nsys.exit(0)\n"), "model.py:2: SystemExit"),
    "features raise": (features("return frame.select('nosuch')"), "features.py:4: ColumnNotFoundError"),
    "features give nothing": (features("pass"), "features() returned NoneType; a polars.DataFrame is expected"),
    "features drop rows": (features("return frame.head(3)"), "returned 3 rows for"),
}


@pytest.mark.parametrize("case", BAD_CODE)
def test_broken_code_leaves_with_two_and_names_file_and_line(project: Path, case: str) -> None:
    harm, words = BAD_CODE[case]
    harm(project)
    assert words in told(fails(project, "train", code=2)).replace("\\\\", "")
    code, report = check(project)
    assert (code, report["ok"]) == (2, False)
    said = json.dumps(report["problems"], ensure_ascii=False)
    assert words in said or '"nearest": "build_lineer"' in said


BAD_ANSWERS = {
    "NaN": ("return np.full((len(X), 2), np.nan)", "it gave NaN or infinity for 580 of them, first row 0"),
    "another shape": ("return super().predict_proba(X)[:, :1]", "array of shape (580, 1); (580, 2) is expected"),
    "an error": ("raise ValueError('no such thing')", "model.py:6: ValueError: no such thing"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_model_that_cannot_answer_is_the_projects_error(project: Path, case: str) -> None:
    body, words = BAD_ANSWERS[case]
    predicts(body)(project)
    error = fails(project, "train", code=2)
    assert words in told(error)
    assert "rollback" not in error["remedy"]


def test_features_that_draw_lots_are_found_out(project: Path) -> None:
    body = "return frame.with_columns(vibration_per_degree=pl.Series(np.random.default_rng().normal(size=len(frame))))"
    features(body)(project)
    error = fails(project, "train", code=2)
    assert "answers differ" in error["message"]
    assert "features.py" in error["remedy"]


@pytest.mark.slow
def test_features_that_look_at_other_rows_are_stopped_by_the_gate(project: Path) -> None:
    mean = "pl.col('vibration_mm_s') - pl.col('vibration_mm_s').mean()"
    features(f"return frame.with_columns(vibration_per_degree={mean})")(project)
    done = process("train", cwd=project)
    document = json.loads(done.stdout)
    assert (done.returncode, document["stage"]) == (4, "refused")
    assert [c["name"] for c in document["checks"] if c["verdict"] == "fail"] == ["row_independence"]
    assert fails(project, "promote", "1", "--reason", "please", "--force", code=4)["code"] == "gate_failed"


def test_what_the_projects_code_prints_stays_out_of_the_document(project: Path) -> None:
    build("print('BUILT')\n    return DummyClassifier()", HEAD + "print('IMPORTED')\n")(project)
    result = CliRunner().invoke(app, ["check", "-C", str(project), "--json"])
    assert json.loads(result.stdout)["ok"] is True
    assert {"IMPORTED", "BUILT"} <= set(result.stderr.split())


# The project file, the environment, flags, the command line.


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mainstay = 1 ", "mainstay = 2 ", "follows schema 2; this program reads schema 1"),
        ("mainstay = 1 ", "", "does not say which schema"),
        ('name = "pump-check"', "name = pump-check", "line 11"),
        ("seed = 7", "sed = 7", '"nearest": "seed"'),
        ("[watch]", "[wach]", '"nearest": "watch"'),
        ('type = "category"', 'type = "categorie"', '"nearest": "category"'),
        ('pipeline = "linear"', 'pipeline = "lineer"', '"nearest": "linear"'),
        ("[target]", '[fields.condition]\ntype = "category"\n[target]', "declare it under [target] alone"),
    ],
)
def test_a_wrong_project_file_leaves_with_two_whatever_the_command(
    project: Path, old: str, new: str, words: str
) -> None:
    put(project, "mainstay.toml", old, new)
    for command in (["check"], ["status"], ["up"]):
        assert words in told(fails(project, *command, code=2))
    assert not (project / ".mainstay").exists()


def test_all_unknown_keys_are_told_at_once_with_their_lines(project: Path) -> None:
    put(project, "mainstay.toml", "seed = 7", "sed = 7")
    put(project, "mainstay.toml", "port = 8080", "prot = 8080")
    problems = fails(project, "check", code=2)["problems"]
    assert [problem["nearest"] for problem in problems] == ["seed", "port"]
    assert all(problem["where"].startswith("mainstay.toml line ") for problem in problems)


def test_a_wrong_variable_or_flag_is_named_and_the_file_is_not_blamed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = fails(project, "serve", "--workers", "0", code=2)
    assert error["message"] == "--workers has 1 problem"
    monkeypatch.setenv("MAINSTAY_SERVE__PROT", "80")
    error = fails(project, "status", code=2)
    assert (error["message"], error["problems"][0]["nearest"]) == ("MAINSTAY_SERVE__PROT has 1 problem", "port")


COMMANDS = (
    ("check",),
    ("train",),
    ("gate", "1"),
    ("up",),
    ("serve",),
    ("loop", "--once"),
    ("status",),
    ("promote", "1", "--reason", "x"),
    ("rollback", "--reason", "x"),
    ("feedback", "--id", "a", "--label", "worn"),
    ("config", "show"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_folder_that_is_no_project_is_told_and_left_as_it_is(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert "there is no mainstay.toml" in fails(tmp_path, *command, code=2)["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("config", "show", "serve.prot"), "did you mean 'serve.port'"),
        (("gate", "other@1"), "is of another model; this project's model is 'pump-check'"),
        (("gate", "1"), "has no version 1"),
        (("promote", "1", "--reason", "x"), "has no version 1"),
        (("rollback", "--reason", "x", "--to", "3"), "has no version 3"),
        (("train", "--pipeline", "linaer"), "did you mean 'linear'"),
        (("feedback", "nosuch.csv"), "nosuch.csv cannot be read"),
        (("feedback", "--id", "a"), "name either a FILE, or --id with --label"),
    ],
)
def test_a_command_used_wrongly_leaves_with_two(project: Path, command: tuple[str, ...], words: str) -> None:
    assert words in told(fails(project, *command, code=2))


def test_a_label_of_no_class_is_refused_and_the_others_are_kept(project: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("id,label\na,worn\nb,wron\n,worn\n")
    result = CliRunner().invoke(app, ["feedback", str(file), "-C", str(project), "--json"])
    told_ = json.loads(result.stdout)
    assert (result.exit_code, told_["counts"]) == (3, {"stored": 1, "duplicate": 0, "refused": 2})
    assert [(p["where"], p["nearest"], p["row"]) for p in told_["refused"]] == [("label", "worn", 1), ("id", None, 2)]
    again = CliRunner().invoke(app, ["feedback", "--id", "a", "--label", "worn", "-C", str(project), "--json"])
    assert json.loads(again.stdout)["counts"] == {"stored": 0, "duplicate": 1, "refused": 0}


# The machine and the state folder.


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


STATEFUL = [command for command in COMMANDS if command[0] not in ("check", "config", "serve")]


def test_a_file_in_the_place_of_the_state_folder_is_left_alone(project: Path) -> None:
    (project / ".mainstay").write_text("mine")
    for command in (*STATEFUL, ("serve",)):
        assert "is a file" in fails(project, *command, code=6)["message"]
    assert (project / ".mainstay").read_text() == "mine"
    assert check(project)[0] == 0


@pytest.mark.parametrize("kept", [0.5, 0.0], ids=["half", "garbage"])
def test_a_damaged_store_is_told_by_every_command_and_left_for_its_backup(trained: Path, kept: float) -> None:
    store = trained / ".mainstay" / "store.db"
    whole = store.read_bytes()
    store.write_bytes(whole[: int(len(whole) * kept)] or b"no database at all" * 1000)
    left = store.read_bytes()
    for command in STATEFUL:
        if command[0] == "loop":
            continue
        error = fails(trained, *command, code=6)
        assert (error["code"], "backup" in error["remedy"]) == ("damaged", True)
        assert str(store) in error["message"]
    done = CliRunner().invoke(app, ["loop", "--once", "-C", str(trained), "--json"])
    assert (done.exit_code, "Traceback" in done.stderr, "is damaged" in done.stderr) == (6, False, True)
    assert store.read_bytes() == left


@pytest.mark.slow
def test_half_written_bundles_and_snapshots_are_named_and_training_again_mends_them(trained: Path) -> None:
    state = trained / ".mainstay"
    before = {name: data for name, data in files_of(state).items() if name.startswith(("bundles/", "snapshots/"))}
    for path in (*state.glob("bundles/*/model/model.pkl"), *state.glob("snapshots/*/data.parquet")):
        path.write_bytes(path.read_bytes()[:100])
    error = fails(trained, "gate", "1", "--again", code=6)
    assert (error["code"], "model.pkl has digest" in error["message"]) == ("damaged", True)
    assert "train" in error["remedy"]
    again = mainstay("train", cwd=trained)
    assert (again["version"], again["stage"]) == ("pump-check@1", "certified")
    after = files_of(state)
    models = [name for name in before if not name.endswith("snapshot.json")]
    assert [name for name in models if after[name] != before[name]] == []
    assert len(list((state / "bundles").iterdir())) == 1


@pytest.mark.slow
def test_there_is_no_way_back_from_the_first_version_and_trying_changes_nothing(trained: Path) -> None:
    error = fails(trained, "rollback", "--reason", "trying it", code=6)
    assert error["code"] == "stale_transition"
    assert mainstay("status", cwd=trained)["answering"]["name"] == "pump-check@1"


def test_up_refuses_a_port_in_use_before_it_trains(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        taken, other = held.getsockname()[1], free_port()
        for mine, web, flag in ((taken, other, "--port"), (other, taken, "--web-port")):
            error = fails(project, "up", "--port", str(mine), "--web-port", str(web), code=6)
            assert f"port {taken} on 127.0.0.1" in error["message"]
            assert flag in error["remedy"]
        error = fails(project, "serve", "--port", str(taken), code=6)
        assert f"{taken}" in error["message"]
    assert not list((project / ".mainstay").glob("bundles/*"))


@pytest.fixture
def served(trained: Path) -> Iterator[Path]:
    log = trained / "serve.err"
    argv = [sys.executable, "-m", "mainstay", "serve", "--port", "0"]
    with log.open("wb") as err:
        server = subprocess.Popen(argv, cwd=trained, env=ENVIRON, stderr=err)
        try:
            deadline = time.monotonic() + 120
            while not (trained / ".mainstay/run/serve.json").exists() or "Ctrl-C" not in log.read_text():
                assert (server.poll(), time.monotonic() < deadline) == (None, True), log.read_text()
                time.sleep(0.1)
            yield trained
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(120)


@pytest.mark.slow
def test_a_second_up_names_the_server_that_runs_and_leaves_it_alone(served: Path) -> None:
    told_ = json.loads((served / ".mainstay/run/serve.json").read_text())
    web = free_port()
    error = fails(served, "up", "--port", "0", "--web-port", str(web), code=6)
    assert f"by process {told_['pid']} on port {told_['port']}" in error["message"]
    assert f"kill {told_['pid']}" in error["remedy"]
    assert not (served / ".mainstay/run/loop.log").exists()
    assert "already" in fails(served, "serve", "--port", "0", code=6)["message"]


def unshared(script: str) -> subprocess.CompletedProcess[str]:
    argv = ["unshare", "-m", "sh", "-ec", script]
    return subprocess.run(argv, env=ENVIRON, capture_output=True, text=True, check=False, timeout=600)


def may_mount() -> bool:
    try:
        return unshared("mount -t tmpfs -o size=1m none /mnt").returncode == 0
    except OSError:
        return False


needs_mounts = pytest.mark.skipif(not may_mount(), reason="needs the right to mount in a namespace of its own (root)")


@needs_mounts
def test_a_state_folder_that_cannot_be_written_is_told(trained: Path) -> None:
    state = trained / ".mainstay"
    done = unshared(
        f"mount --bind {state} {state}; mount -o remount,ro,bind {state}; cd {trained}; "
        f"{sys.executable} -m mainstay feedback --id a --label worn --json"
    )
    error = error_of(done.returncode, done.stdout, done.stderr, 6)
    assert f"the state folder {state} cannot be used: Read-only file system" in error["message"]


@needs_mounts
@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_leaves_no_half_bundle(trained: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    put(trained, "model.py", 'params.get("C", 1.0)', 'params.get("C", 0.25)')
    run = f"{sys.executable} -m mainstay"
    done = unshared(
        f"mount -t tmpfs -o size=20m none {disk}; cp -r {trained} {disk}/p; cd {disk}/p; "
        f"dd if=/dev/zero of={disk}/fill bs=4k 2>/dev/null || true; "
        f"code=0; {run} train --json || code=$?; rm {disk}/fill; "
        f"ls -A .mainstay/bundles > {tmp_path}/left; {run} status --json > {tmp_path}/status; exit $code"
    )
    error = error_of(done.returncode, done.stdout, done.stderr, 6)
    assert "No space left on device" in error["message"]
    assert (tmp_path / "left").read_text().split() == [path.name for path in (trained / ".mainstay/bundles").iterdir()]
    assert json.loads((tmp_path / "status").read_text())["answering"]["name"] == "pump-check@1"
