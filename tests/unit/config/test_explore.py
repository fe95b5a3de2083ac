"""What a project may declare of exploration, and how its workers are told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mainstay.config.load import Loaded, load
from mainstay.core.errors import Problem, ProjectFileError
from mainstay.core.exploration import How, Rule
from mainstay.serve.explorer import rule_of
from mainstay.serve.plan import WorkerPlan

GOOD = """\
mainstay = 1
[project]
name = "ponds"
task = "binary"
[data]
key = "pond"
[fields.depth]
type = "number"
[fields.weed]
type = "category"
values = ["none", "some"]
[fields.pond]
type = "identifier"
[target]
field = "clear"
classes = ["yes", "no"]
[train.pipelines]
plain = { build = "model:build" }
"""
REGRESSION = (
    GOOD.replace('"binary"', '"regression"').replace('classes = ["yes", "no"]\n', "").replace('"clear"', '"clarity"')
)
RANKING = (
    GOOD.replace('"binary"', '"ranking"')
    .replace('classes = ["yes", "no"]\n', "")
    .replace('"clear"', '"grade"')
    .replace('key = "pond"', 'group = "pond"')
)


def read(folder: Path, text: str = GOOD) -> Loaded:
    (folder / "mainstay.toml").write_text(text, encoding="utf-8")
    return load(folder, environ={}, flags={})


def problems(folder: Path, text: str) -> list[Problem]:
    with pytest.raises(ProjectFileError) as caught:
        read(folder, text)
    return list(caught.value.problems)


def declaring(text: str, settings: str) -> str:
    return text.replace("[train.pipelines]", f"[serve.explore]\n{settings}\n[train.pipelines]")


@pytest.mark.parametrize(
    ("text", "settings", "where", "told"),
    [
        (GOOD, 'share = 0.1\nlabels = ["maybe"]', "serve.explore.labels", "no class"),
        (GOOD, 'share = 0.1\nhow = "swap"', "serve.explore.how", "nothing for a binary"),
        (GOOD, 'hold_back = { dephts = ["1"] }', "serve.explore.hold_back.dephts", "no declared field"),
        (GOOD, 'hold_back = { depth = ["1"] }', "serve.explore.hold_back.depth", "no values"),
        (GOOD, "share = 1.5", "serve.explore.share", "1"),
        (REGRESSION, "share = 0.1", "serve.explore.share", "a regression answers with a number"),
        (RANKING, 'share = 0.1\nhow = "softmax"', "serve.explore.how", "nothing for a ranking"),
        (RANKING, 'share = 0.1\nlabels = ["yes"]', "serve.explore.labels", "answers no labels"),
    ],
)
def test_what_cannot_be_explored_is_refused_with_the_reason(
    tmp_path: Path, text: str, settings: str, where: str, told: str
) -> None:
    found = problems(tmp_path, declaring(text, settings))
    assert [one for one in found if where in one.where and told in str(one)], found


def test_weighing_is_refused_where_a_label_is_no_answer(tmp_path: Path) -> None:
    text = RANKING.replace("[train.pipelines]", '[retrain]\nexplored = "weigh"\n[train.pipelines]')
    assert any("retrain.explored" in one.where for one in problems(tmp_path, text))


def test_a_model_that_learns_online_cannot_weigh_its_labels(tmp_path: Path) -> None:
    def with_(retrain: str) -> str:
        return GOOD.replace("[train.pipelines]", f"[retrain]\nonline = true\n{retrain}\n[train.pipelines]")

    [found] = problems(tmp_path, with_('explored = "weigh"'))
    assert ("retrain.online" in found.where, found.value) == (True, 'explored = "weigh"')
    assert read(tmp_path, with_("")).settings.retrain.online


def test_nothing_is_explored_unless_it_is_declared(tmp_path: Path) -> None:
    assert rule_of(read(tmp_path).settings) is None
    assert rule_of(read(tmp_path, declaring(GOOD, 'how = "softmax"')).settings) is None


def test_a_worker_is_told_what_the_project_declares(tmp_path: Path) -> None:
    wanted = 'share = 0.05\nlabels = ["yes"]\nhold_back = { weed = ["some"] }'
    rule = rule_of(read(tmp_path, declaring(GOOD, wanted)).settings)
    assert rule == Rule(share=0.05, how=How.UNIFORM, labels=("yes",), hold_back=(("weed", ("some",)),))
    ranking = rule_of(read(tmp_path, declaring(RANKING, "share = 0.05")).settings)
    assert ranking is not None
    assert ranking.how is How.SWAP
    folders = dict.fromkeys(("run", "bundles", "journal", "salt", "host"), "x")
    plan = WorkerPlan(worker="w0", workers=1, models=["m"], socket_fd=-1, parent_fd=-1, explore=rule, **folders)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=WorkerPlan).explore == rule
