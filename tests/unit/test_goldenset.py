from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay import candidate, goldenset
from mainstay.core.errors import NotEnoughEvidence, Refused, UsageError
from mainstay.data import golden
from mainstay.project import Project
from mainstay.store import audit

TOML = """\
mainstay = 1
[project]
name = "ponds"
task = "binary"
[data]
train = "train.csv"
test = {{ share = 0.2 }}
golden = {golden}
[fields.note]
type = "text"
[target]
field = "clear"
classes = ["yes", "no"]
"""


def project(folder: Path, golden: str = "{ share = 0.1 }") -> Project:
    (folder / "mainstay.toml").write_text(TOML.format(golden=golden), encoding="utf-8")
    rows = "\n".join(f"note {n} on pond {n * n},{'yes' if n % 3 else 'no'}" for n in range(90))
    (folder / "train.csv").write_text(f"note,clear\n{rows}\n", encoding="utf-8")
    return Project.open(folder, environ={})


@pytest.fixture
def ponds(tmp_path: Path) -> Iterator[Project]:
    made = project(tmp_path)
    yield made
    made.parts.close()


def acts(project: Project) -> list[audit.Entry]:
    with project.parts.store.read() as tx:
        return audit.of_kind(tx, golden.FROZEN)


def test_the_first_use_is_written_into_the_audit_once(ponds: Project) -> None:
    first, again = candidate._prepare(ponds.parts), candidate._prepare(ponds.parts)
    assert first.golden is not None
    assert first.golden == again.golden
    (act,) = acts(ponds)
    assert (act.subject, act.detail["digest"], act.detail["rows"]) == ("ponds", first.golden.id, 9)


def test_freezing_anew_is_audited_with_what_was_before(ponds: Project) -> None:
    before = candidate._prepare(ponds.parts).golden
    assert before is not None
    file = ponds.loaded.root / "train.csv"
    file.write_text(file.read_text(encoding="utf-8") + "so much more,yes\n" * 40, encoding="utf-8")
    found = ponds.freeze_golden(reason="new ponds", by="ann")
    assert (found.before, found.changed) == (before.id, True)
    assert [(act.who, act.detail["digest"]) for act in acts(ponds)][1] == ("ann", found.digest)
    now = candidate._prepare(ponds.parts).golden
    assert now is not None
    assert now.id == found.digest
    shown = ponds.golden()
    assert (shown.digest, shown.by, shown.reason, shown.refused) == (found.digest, "ann", "new ponds", "")


def test_a_record_that_was_exchanged_is_refused_by_what_the_audit_says(ponds: Project) -> None:
    data = candidate._prepare(ponds.parts)
    file = ponds.parts.state / golden.FILE
    told = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**told, "snapshot": data.test.id}), encoding="utf-8")
    with pytest.raises(Refused, match="is not the one in the audit"):
        candidate._prepare(ponds.parts)


def test_a_reason_must_be_given(ponds: Project) -> None:
    with pytest.raises(UsageError, match="reason"):
        ponds.freeze_golden(reason=" ", by="ann")


def test_what_is_not_there_cannot_be_shown(tmp_path: Path, ponds: Project) -> None:
    with pytest.raises(NotEnoughEvidence, match="never used"):
        goldenset.show(ponds.parts)
    (tmp_path / "without").mkdir()
    without = project(tmp_path / "without", golden="{}")
    with pytest.raises(UsageError, match="declares no golden set"):
        without.golden()
    with pytest.raises(UsageError, match="declares no golden set"):
        without.freeze_golden(reason="why not", by="ann")
    without.parts.close()


def test_another_declaration_is_shown_as_refused(tmp_path: Path, ponds: Project) -> None:
    candidate._prepare(ponds.parts)
    other = project(tmp_path, golden="{ share = 0.3 }")
    assert "golden says" in other.golden().refused
    other.parts.close()
