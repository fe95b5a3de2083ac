"""Personal data from end to end: what was sent is nowhere in the state in a readable form, and goes when it is erased.

One story, in order: a project with fields that are encrypted, hashed and dropped serves, is told the truth, trains
again, serves in shadow, scores a file; then one person asks for her records, and to be forgotten.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from mainstay.config.settings import Settings
from mainstay.core.errors import ContractViolation, Damaged, NotEnoughEvidence, NotFound
from mainstay.core.events import Kind
from mainstay.core.routes import position
from mainstay.journal.personal import Hasher
from mainstay.journal.vault import is_sealed
from mainstay.project import Project
from mainstay.retrain.dataset import SPLIT_SALT
from mainstay.serve import control

SOURCES = Path(__file__).parents[2] / "src"
TOML = """
mainstay = 1
[project]
name = "desk"
task = "binary"
[data]
train = "train.csv"
test = "test.csv"
key = "person"
[fields.text]
type = "text"
max_chars = 400
pii = "encrypt"
[fields.person]
type = "identifier"
role = "ignored"
pii = "encrypt"
[fields.amount]
type = "number"
max = 1000
on_range = "flag"
required = false
role = "ignored"
pii = "encrypt"
[fields.phone]
type = "category"
values = ["none"]
on_unknown = "flag"
required = false
role = "ignored"
pii = "hash"
[fields.card]
type = "category"
values = ["none"]
on_unknown = "flag"
required = false
role = "ignored"
pii = "drop"
[fields.channel]
type = "category"
values = ["chat", "email"]
role = "segment"
[target]
field = "kind"
classes = ["tool", "fruit"]
[train]
calibrate = "none"
pipeline = "words"
[train.pipelines]
words = { build = "model:build", features = "features:features", input = "text" }
other = { build = "model:build", features = "features:features", input = "text", params = { C = 2.0 } }
[gate]
floors = { accuracy = 0.6 }
not_worse_by = { accuracy = 0.3 }
max_p99_ms = 5000
[serve]
port = 0
workers = 2
[watch]
block_min_rows = 20
[rollout]
steps = [50, 100]
shadow_min_units = 1000
[log]
segment_mb = 1
[[alerts]]
to = "log://"
"""
CODE = """
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def build(params):
    return make_pipeline(CountVectorizer(min_df=5), LogisticRegression(C=params.get("C", 1.0)))
"""
FEATURES = """
def features(frame):
    for text in frame["text"]:
        if text is not None and "poison" in text:
            raise ValueError(f"cannot take {text!r}")
    return frame
"""
WORDS = {"fruit": ("apple", "pear", "plum", "jam"), "tool": ("nail", "saw", "hammer", "steel")}
TEXT, PERSON, PHONE, CARD, AMOUNT = "kanarienvögel9c1e", "c-4711-qwxyz", "0171-555-8823", "5500-0000-1111", 98765.4321
CANARIES = (TEXT, PERSON, PHONE, CARD, str(AMOUNT))


@dataclass
class Desk:
    """The project, and what was answered on the way."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    answered: list[dict[str, Any]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / ".mainstay"

    def project(self) -> Project:
        return Project.open(self.folder, environ={})

    def start(self) -> None:
        command = [sys.executable, "-m", "mainstay", "serve", "-C", str(self.folder)]
        environ = os.environ | {"PYTHONPATH": str(SOURCES)}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        self.wait(lambda: bool((control.running(self.state / "run") or {}).get("ready")))
        told = control.running(self.state / "run")
        assert told is not None
        self.url = f"http://127.0.0.1:{told['port']}/v1"

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)
            self.process = None

    def wait(self, holds: Callable[[], bool], seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, (self.folder / "server.log").read_text()[-3000:]
            time.sleep(0.05)

    def predict(self, *rows: dict[str, Any], status: int = 200) -> list[dict[str, Any]]:
        answer = httpx.post(f"{self.url}/predict", json={"instances": [{"inputs": row} for row in rows]}, timeout=120)
        assert answer.status_code == status, answer.text
        return answer.json().get("predictions", [])

    def feedback(self, *items: dict[str, Any]) -> None:
        assert httpx.post(f"{self.url}/feedback", json={"items": list(items)}, timeout=120).status_code == 200

    def turn(self, count: int = 1) -> None:
        project = self.project()
        for _ in range(count):
            assert project.turn().failed == {}
        project.parts.close()


def row(text: str, person: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "person": person, "channel": "chat"} | more


def hers(text: str = "") -> dict[str, Any]:
    return row(f"apple pear {TEXT} {text}".strip(), PERSON, phone=PHONE, card=CARD, amount=AMOUNT)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "mainstay.toml").write_text(TOML)
    (folder / "model.py").write_text(CODE)
    (folder / "features.py").write_text(FEATURES)
    for name, rows in (("train", 160), ("test", 80)):
        lines = ["text,person,channel,kind"]
        for number in range(rows):
            kind = sorted(WORDS)[number % 2]
            words = " ".join(WORDS[kind][(number * 7 + place) % 4] for place in range(3))
            lines.append(f"{words} n{number % 9}{name},{name}-{number},{('chat', 'email')[number % 3 == 0]},{kind}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    made = Desk(folder)
    made.state.mkdir()
    (made.state / "salt").write_text(_salt_that_lets_her_be_learned_from())
    try:
        _live(made)
        yield made
    finally:
        made.stop()


def _salt_that_lets_her_be_learned_from() -> str:
    """Return a salt under which her rows are not among those that are held out, as which ones are follows from it."""
    share = Settings.model_validate({"project": {"name": "desk"}}).retrain.recent_share
    salts = (f"{number:064x}" for number in range(100))
    return next(salt for salt in salts if position(SPLIT_SALT, Hasher(salt).key_hash(PERSON)) >= share)


def _live(desk: Desk) -> None:
    """Everything that can happen to her values."""
    assert desk.project().train().passed
    desk.start()
    desk.answered = desk.predict(*(hers(str(n)) for n in range(4)), row("saw steel nail", "somebody"))
    others = desk.predict(*(row(f"{WORDS['tool'][n % 4]} saw {n}", f"p{n}") for n in range(40)))
    desk.predict(row(TEXT, PERSON, channel=TEXT, wrong=CARD, amount=PHONE), status=422)
    desk.predict({"person": PERSON, TEXT: TEXT}, status=422)
    raw = f'{{"instances": [{{"inputs": {{"text": "{TEXT} {CARD}'.encode()
    assert httpx.post(f"{desk.url}/predict", content=raw, headers={"content-type": "application/json"}).is_error
    desk.predict(hers("poison"), status=500)
    told = [{"inputs": hers("told"), "label": "fruit"}, {"inputs": row(TEXT, PERSON, channel=TEXT), "label": "tool"}]
    answer = httpx.post(f"{desk.url}/events", json={"events": told}, timeout=120)
    assert "stored" in {one["status"] for one in answer.json()["results"]}, answer.text
    desk.feedback(*({"id": one["id"], "value": "fruit"} for one in desk.answered[:4]))
    desk.feedback({"id": desk.answered[0]["id"], "value": TEXT}, {"id": TEXT, "kind": CARD, "value": 1})
    desk.feedback(*({"id": one["id"], "value": "tool"} for one in others))
    desk.turn(2)
    assert desk.project().train(pipeline="other").passed
    desk.turn(3)  # on its way: answers nobody, and scores everything in shadow
    desk.wait(lambda: len(_kinds(desk, Kind.SHADOW, desk.predict(hers("again")))) > 0)
    (desk.folder / "in.ndjson").write_text(
        "".join(json.dumps(one) + "\n" for one in (hers("scored"), hers("poison"), row(TEXT, PERSON, channel=TEXT)))
    )
    desk.project().score(desk.folder / "in.ndjson", desk.folder / "out.ndjson", watch=True)
    desk.turn(2)


def _kinds(desk: Desk, kind: Kind, _answers: object) -> list[Any]:
    return list(desk.project().parts.journal.matching("desk", kind=kind))


def forms(canary: str) -> dict[str, bytes]:
    """Return a text as it could stand in a file: as it is, escaped, hex, base64 at each of the three alignments."""
    plain = canary.encode()
    found = {
        "plain": plain,
        "escaped": json.dumps(canary)[1:-1].encode(),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "utf-16": canary.encode("utf-16-le"),
    }
    for shift in range(3):
        coded = b64encode(b"\0" * shift + plain)
        found[f"base64 at {shift}"] = coded[(0, 2, 3)[shift] : -4]  # without what its neighbours decide
    return found


def found_in(folder: Path, canaries: tuple[str, ...] = CANARIES) -> list[str]:
    """Return where a canary stands in any form, in any file; Parquet is read as its values besides."""
    found = []
    wanted = [(canary, how, data) for canary in canaries for how, data in forms(canary).items()]
    for path in (path for path in folder.rglob("*") if path.is_file()):
        texts = [path.read_bytes()]
        if path.suffix == ".parquet":
            for column in pl.read_parquet(path, hive_partitioning=False).iter_columns():
                texts += [value if isinstance(value, bytes) else str(value).encode() for value in column.to_list()]
        found += [
            f"{path.relative_to(folder)}: {canary} ({how})"
            for canary, how, data in wanted
            if any(data in text for text in texts)
        ]
    return found


def test_no_value_that_was_sent_stands_in_the_state_in_any_form(desk: Desk) -> None:
    kinds = {kind: len(_kinds(desk, kind, None)) for kind in Kind}
    assert all(kinds.values()), kinds
    assert found_in(desk.state) == []
    assert found_in(desk.folder, (TEXT,)) != []  # the search finds what is there: in.ndjson, out.ndjson


def test_every_record_of_hers_is_sealed_under_her_key_and_hashed_or_dropped_as_declared(desk: Desk) -> None:
    project = desk.project()
    mine = [e for e in _kinds(desk, Kind.PREDICTION, None) if e.id == desk.answered[0]["id"]]
    inputs = mine[0].inputs
    assert {name for name, value in inputs.items() if is_sealed(value)} == {"text", "person", "amount"}
    assert inputs["channel"] == "chat"
    assert "card" not in inputs
    assert len(inputs["phone"]) == 32
    opened, gone = project.parts.vault.opened(inputs)
    assert (opened["text"], opened["person"], opened["amount"]) == (f"apple pear {TEXT} 0", PERSON, AMOUNT)
    assert gone == {}
    warned = {caveat.code: caveat for caveat in mine[0].warnings}
    assert all(caveat.value is None for caveat in warned.values() if caveat.field in ("amount", "phone", "card"))


def test_the_watch_measured_encrypted_texts_and_kept_no_word_of_them(desk: Desk) -> None:
    from mainstay.store.tables import blocks

    with desk.project().parts.store.read() as tx:
        summaries = [row.summary for row in tx.execute(blocks.select())]
    assert summaries
    assert all(summary["words"] == {} for summary in summaries)
    assert all({"text.length", "text.words", "text.unseen"} <= set(summary["means"]) for summary in summaries)
    assert not any("amount" in summary["means"] for summary in summaries)


def test_a_version_learns_from_encrypted_traffic_and_its_own_memory_holds_no_word_of_one_person(desk: Desk) -> None:
    parts = desk.project().parts
    from mainstay.store import releases

    with parts.store.read() as tx:
        newest = max(releases.all_of(tx, "desk"), key=lambda one: one.version)
    snapshot = parts.snapshots.open(newest.snapshot)
    assert snapshot.stored().filter(pl.col("_sealed").is_not_null()).height >= 20
    rows = snapshot.frame()
    assert rows.filter(pl.col("text").str.contains(TEXT)).height > 0
    assert TEXT not in parts.open_model(newest.digest).vocabulary["text"]
    assert "saw" in parts.open_model(newest.digest).vocabulary["text"]


def test_a_recorded_answer_comes_out_again_to_the_last_bit(desk: Desk) -> None:
    found = desk.project().replay(desk.answered[0]["id"])
    assert (found.same, found.equal_bytes, found.largest, found.batch) == (True, True, 0.0, 5)
    assert found.missing == {"phone": "only its hash was kept", "card": "it was not kept"}


def test_what_the_model_was_handed_is_named_and_no_encrypted_value_of_it_shown(desk: Desk) -> None:
    found = desk.project().features_seen(desk.answered[0]["id"])
    assert "text" in found.withheld
    assert TEXT not in repr(found)
    assert found.missing == {"phone": "only its hash was kept", "card": "it was not kept"}


def test_what_is_no_answer_of_ours_is_not_replayed_and_a_changed_bundle_neither(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no prediction 'nothing'"):
        desk.project().replay("nothing")
    copy = tmp_path / "copy"
    shutil.copytree(desk.folder, copy, ignore=shutil.ignore_patterns("run"))
    project = Project.open(copy, environ={})
    digest = project.replay(desk.answered[4]["id"]).digest
    contract = copy / ".mainstay" / "bundles" / digest / "contract.json"
    contract.chmod(0o600)
    contract.write_bytes(contract.read_bytes() + b" ")
    with pytest.raises(Damaged, match=r"contract\.json"):
        project.replay(desk.answered[4]["id"])


def test_the_command_tells_how_far_the_answer_is_the_same(desk: Desk) -> None:
    command = [sys.executable, "-m", "mainstay", "replay", desk.answered[4]["id"], "-C", str(desk.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "answers the same to the last bit, asked in a batch of 5" in done.stdout


def test_a_killed_worker_leaves_no_acknowledged_record_without_its_key(desk: Desk) -> None:
    workers = control.ask(desk.state / "run", {"do": "status"})["workers"]
    answered: list[str] = []
    for number in range(60):
        if number == 30:
            for worker in workers:
                os.kill(worker["pid"], signal.SIGKILL)
        with contextlib.suppress(httpx.HTTPError):
            answered += [one["id"] for one in desk.predict(row("saw nail", f"new-{number}"))]
    assert len(answered) >= 30
    parts = desk.project().parts
    records = [parts.journal.find(id_) for id_ in answered]
    assert all(record is not None and parts.vault.opened(record.inputs)[1] == {} for record in records)


def test_she_gets_all_her_records_and_nobody_elses(desk: Desk) -> None:
    out = desk.folder / "hers.ndjson"
    told = desk.project().export(PERSON, out, by="ann")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert out.stat().st_mode & 0o777 == 0o600
    assert told.gone == {}
    assert {line["record"] for line in lines} == {kind.value for kind in Kind}
    answered = [line for line in lines if line["record"] == "prediction"]
    assert all(line["inputs"]["person"] == PERSON and TEXT in line["inputs"]["text"] for line in answered)
    assert {one["id"] for one in desk.answered[:4]} <= {line["id"] for line in answered}
    assert desk.answered[4]["id"] not in {line["id"] for line in lines}
    assert [line["value"] for line in lines if line["record"] == "feedback"] == ["fruit"] * 4


def test_erased_she_is_unreadable_everywhere_at_once_and_what_remains_is_said(desk: Desk, tmp_path: Path) -> None:
    shutil.copytree(desk.state / "subjects", tmp_path / "older")
    project = desk.project()
    gone = project.erase(PERSON, by="anna", reason="request 77")
    assert gone.destroyed
    assert gone.unreadable >= 6
    assert gone.store == "ok"
    assert {(left.field, left.how) for left in gone.left} >= {("channel", "plain"), ("phone", "hashed")}
    assert gone.readable == ()  # no text and no identifier of hers is kept in plain
    assert any(one.sealed and one.versions for one in gone.snapshots)
    with pytest.raises(NotEnoughEvidence, match=r"text \(erased\)"):
        desk.project().replay(desk.answered[0]["id"])
    told = desk.project().export(PERSON, tmp_path / "hers.ndjson", by="ann")
    assert set(told.gone) == {"erased"}
    assert not any(canary in (tmp_path / "hers.ndjson").read_text() for canary in CANARIES)
    assert desk.project().replay(desk.answered[4]["id"]).same

    # A later request is a new key's; the running server knows without a restart.
    [later] = desk.predict(hers("later"))
    assert desk.project().replay(later["id"]).equal_bytes
    assert desk.project().export(PERSON, tmp_path / "later.ndjson", by="ann").gone == told.gone

    # Training goes on without her rows, and says how many are missing.
    judged = desk.project().train(pipeline="words", release=False)
    assert any("4 rows were erased" in note for note in judged.notes)

    # An older copy of the keys does not bring her back.
    desk.stop()
    shutil.rmtree(desk.state / "subjects")
    shutil.copytree(tmp_path / "older", desk.state / "subjects")
    assert project.parts.vault.subjects.tombstones() == []
    assert desk.project().turn().failed == {}
    with pytest.raises(NotEnoughEvidence, match="erased"):
        desk.project().replay(desk.answered[0]["id"])
    assert desk.project().replay(desk.answered[4]["id"]).same


def test_without_the_keys_records_read_as_lost_and_serving_goes_on(desk: Desk) -> None:
    desk.stop()
    shutil.rmtree(desk.state / "subjects")
    desk.start()
    with pytest.raises(NotEnoughEvidence, match=r"text \(lost\)"):
        desk.project().replay(desk.answered[4]["id"])
    [again] = desk.predict(row("saw nail steel", "somebody"))
    assert desk.project().replay(again["id"]).equal_bytes
    desk.turn()  # the store's tombstones come back into the folder: what was erased is told apart from what is lost
    with pytest.raises(NotEnoughEvidence, match=r"text \(erased\)"):
        desk.project().replay(desk.answered[0]["id"])


def test_a_service_that_answers_by_itself_writes_nothing_readable_either(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    head, _, rest = TOML.partition("[data]")
    toml = head + 'answers = "elsewhere"\n[data]' + rest.replace('train = "train.csv"\ntest = "test.csv"\n', "")
    toml = (
        toml[: toml.index("[train]")]
        + toml[toml.index("[serve]") : toml.index("[rollout]")]
        + "[log]\nsegment_mb = 1\n"
    )
    (folder / "mainstay.toml").write_text(toml.replace("workers = 2\n", ""))
    script = tmp_path / "service.py"
    script.write_text(
        "import json, sys\nimport mainstay\nhers = json.loads(sys.argv[2])\n"
        "mainstay.log(project=sys.argv[1], inputs=hers, output='fruit', confidence=0.9, id='a1')\n"
        "mainstay.log(project=sys.argv[1], inputs=hers | {'channel': hers['text'], hers['card']: 1}, output='tool')\n"
        "mainstay.log(project=sys.argv[1], inputs=hers, error=ValueError('cannot take ' + hers['text']))\n"
        "mainstay.log(project=sys.argv[1], id='a1', truth='fruit')\n"
    )
    command = [sys.executable, str(script), str(folder), json.dumps(hers())]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(SOURCES)}, timeout=600)
    project = Project.open(folder, environ={})
    records, _ = project.parts.journal.read({}, 100)
    assert [record.kind for record in records] == [Kind.EXTERNAL, Kind.EXTERNAL, Kind.ERROR, Kind.FEEDBACK]
    assert project.parts.vault.opened(records[0].inputs)[0]["text"] == f"apple pear {TEXT}"
    assert found_in(folder) == []


def test_who_is_not_known_is_said_so(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no record"):
        desk.project().erase("nobody-ever", by="anna")


def test_a_text_kept_in_plain_is_named_with_its_records_and_exit_code_3(desk: Desk, tmp_path: Path) -> None:
    copy = tmp_path / "plain"
    shutil.copytree(desk.folder, copy, ignore=shutil.ignore_patterns("run"))
    toml = (copy / "mainstay.toml").read_text()
    (copy / "mainstay.toml").write_text(toml.replace('pii = "encrypt"', 'pii = "keep"'))
    plain = Desk(copy)
    try:
        assert plain.project().train(pipeline="words").passed
        plain.project().promote(plain.project().newest(), reason="plain texts", by="test", force=True)
        plain.start()
        plain.predict(row("a plain text", "pat"), row("another", "pat"))
    finally:
        plain.stop()
    command = [sys.executable, "-m", "mainstay", "erase", "-C", str(copy), "--key", "pat", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == ContractViolation.exit_code, done.stderr
    assert "fields.text.pii: 2 records hold it in plain" in done.stderr
    left = {one["field"]: one["records"] for one in json.loads(done.stdout)["left"]}
    # The version before answers them once more, in reverse: those records have the channel in plain, and no text.
    shadows = [one for one in plain.project().parts.journal.read({}, 1000)[0] if one.kind is Kind.SHADOW]
    assert ["text" in one.inputs for one in shadows[-2:]] == [False, False]
    assert left == {"text": 2, "person": 2, "channel": 4}
