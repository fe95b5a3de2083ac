from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.config.load import Loaded, load
from mainstay.config.settings import SplitBy
from mainstay.core.contracts import FieldType, Policy, Role
from mainstay.core.errors import Problem, ProjectFileError

GOOD = """\
mainstay = 1
[project]
name = "ponds"
task = "binary"
[data]
key = "pond"
[fields.depth]
type = "number"
min = 0
on_range = "flag"
[fields.weed]
type = "category"
values = ["none", "some"]
role = "segment"
[fields.pond]
type = "identifier"
role = ["protected"]
[target]
field = "clear"
classes = ["yes", "no"]
[train.pipelines]
plain = { build = "model:build" }
"""


def read(folder: Path, text: str = GOOD, environ: dict[str, str] | None = None, **flags: object) -> Loaded:
    (folder / "mainstay.toml").write_text(text, encoding="utf-8")
    return load(folder, environ=environ or {}, flags={key.replace("__", "."): value for key, value in flags.items()})


def problems(folder: Path, text: str, environ: dict[str, str] | None = None, **flags: object) -> list[Problem]:
    with pytest.raises(ProjectFileError) as caught:
        read(folder, text, environ, **flags)
    return list(caught.value.problems)


def only(folder: Path, text: str) -> Problem:
    (problem,) = problems(folder, text)
    return problem


def test_the_file_makes_settings_and_a_contract(tmp_path: Path) -> None:
    loaded = read(tmp_path)
    depth, weed, pond = loaded.contract.fields
    assert loaded.settings.project.name == "ponds"
    assert (depth.type, depth.min, depth.on_range) == (FieldType.NUMBER, 0.0, Policy.FLAG)
    assert (weed.values, weed.roles) == (("none", "some"), (Role.SEGMENT,))
    assert pond.roles == (Role.PROTECTED,)
    assert (loaded.contract.target, loaded.contract.classes, loaded.contract.key) == ("clear", ("yes", "no"), "pond")
    assert (loaded.root, loaded.state) == (tmp_path, tmp_path / ".mainstay")


def test_the_file_may_be_named_instead_of_its_folder(tmp_path: Path) -> None:
    read(tmp_path)
    assert load(tmp_path / "mainstay.toml", environ={}).file == tmp_path / "mainstay.toml"


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    text = GOOD + "[serve]\nport = 1001\n"
    environ = {"MAINSTAY_SERVE__PORT": "1002"}
    assert read(tmp_path, GOOD).settings.serve.port == 8080
    assert read(tmp_path, text).settings.serve.port == 1001
    assert read(tmp_path, text, environ).settings.serve.port == 1002
    assert read(tmp_path, text, environ, serve__port=1003).settings.serve.port == 1003
    assert read(tmp_path, text, environ, serve__port=None).settings.serve.port == 1002


def test_each_value_tells_where_it_came_from(tmp_path: Path) -> None:
    environ = {"MAINSTAY_SERVE__WORKERS": "2", "MAINSTAY_FIELDS__DEPTH__MAX": "9.5"}
    origins = read(tmp_path, GOOD, environ, serve__port=1003).origins
    assert origins["serve.port"] == "--port"
    assert origins["serve.workers"] == "MAINSTAY_SERVE__WORKERS"
    assert origins["fields.depth.max"] == "MAINSTAY_FIELDS__DEPTH__MAX"
    assert origins["fields.depth.min"] == "mainstay.toml"
    assert origins["serve.host"] == "default"


def test_every_value_has_an_origin_and_every_origin_a_value(tmp_path: Path) -> None:
    loaded = read(tmp_path)
    assert list(loaded.values) == list(loaded.origins)


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("MAINSTAY_RETRAIN__ON", '["rows:10"]', "retrain.on", ("rows:10",)),
        ("MAINSTAY_GATE__FLOORS", "{ accuracy = 0.5 }", "gate.floors.accuracy", 0.5),
        ("MAINSTAY_DATA__TRAIN", "123", "data.train", "123"),
        ("MAINSTAY_DATA__TEST", "held/out.csv", "data.test", "held/out.csv"),
        ("MAINSTAY_WATCH__FALSE_PAGES__DAYS", "7", "watch.false_pages.days", 7.0),
        ("MAINSTAY_FIELDS__DEPTH__REQUIRED", "false", "fields.depth.required", False),
    ],
)
def test_a_variable_is_read_like_the_file(tmp_path: Path, name: str, text: str, key: str, value: object) -> None:
    assert read(tmp_path, GOOD, {name: text}).values[key] == value


def test_variables_of_other_things_are_left_alone(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD, {"MAINSTAY_CLOCK": "x", "SERVE__PORT": "1"}).settings.serve.port == 8080


def test_a_misspelled_variable_is_told_by_its_own_name(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD, {"MAINSTAY_SERVE__PROT": "1"})
    assert problem.where == "MAINSTAY_SERVE__PROT (serve.prot)"
    assert problem.nearest == "port"


def test_an_unknown_key_names_line_and_nearest_known_key(tmp_path: Path) -> None:
    problem = only(tmp_path, "mainstay = 1\n[serve]\nworker = 2\n" + GOOD.removeprefix("mainstay = 1\n"))
    assert problem.where == "mainstay.toml line 3, serve.worker"
    assert problem.nearest == "workers"


def test_all_problems_come_at_once_also_those_between_settings(tmp_path: Path) -> None:
    text = GOOD.replace('"binary"', '"binery"').replace("min = 0", 'min = "0"') + "[serve]\nport = true\n"
    assert len(problems(tmp_path, text)) == 3
    text = GOOD.replace('key = "pond"', 'key = "pound"') + "[serve]\nport = 70000\n"
    found = problems(tmp_path, text)
    assert sorted((problem.where.split(", ")[1], problem.nearest) for problem in found) == [
        ("data.key", "pond"),
        ("serve.port", None),
    ]


@pytest.mark.parametrize("value", ['"8080"', "true", "80.5", "-1", "inf", "[1]", "{ a = 1 }", "2026-01-01"])
def test_a_value_of_the_wrong_kind_is_never_bent_into_shape(tmp_path: Path, value: str) -> None:
    assert "serve.port" in only(tmp_path, GOOD + f"[serve]\nport = {value}\n").where


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("min = 0", "min = 5\nmax = 3", "fields.depth.min"),
        ("min = 0", "bins = [3, 3]", "fields.depth.bins"),
        ("min = 0", "bins = [3]", "fields.depth.bins"),
        ("min = 0", "max_chars = 3", "fields.depth.max_chars"),
        ('["none", "some"]', '["none", "none"]', "fields.weed.values"),
        ('role = "segment"', 'role = ["ignored", "segment"]', "fields.weed.role"),
        ("[fields.weed]", "[fields._weed]", "fields._weed"),
        ("[fields.weed]", "[fields.clear]", "fields.clear"),
        ('key = "pond"', 'time = "pond"', "data.time"),
        ('["yes", "no"]', '["yes"]', "target.classes"),
        ('["yes", "no"]', '["yes", "no", "maybe"]', "target.classes"),
        ('["yes", "no"]', '["yes", "yes"]', "target.classes"),
        ('field = "clear"\n', "", "target.field"),
        ("[train.pipelines]", '[train]\npipeline = "plane"\n[train.pipelines]', "train.pipeline"),
        ('"model:build"', '"model:build", input = "dept"', "train.pipelines.plain.input"),
        ("[train.pipelines]", '[retrain]\npipelines = ["plane"]\n[train.pipelines]', "retrain.pipelines"),
        ("[train.pipelines]", "[rollout]\nsteps = [5, 50]\n[train.pipelines]", "rollout.steps"),
        ("[train.pipelines]", "[rollout]\nsteps = [50, 5, 100]\n[train.pipelines]", "rollout.steps"),
        ("[train.pipelines]", "[gate]\nfloors = { accurracy = 0.5 }\n[train.pipelines]", "gate.floors.accurracy"),
        ("[train.pipelines]", '[audit]\nfavourable = "maybe"\n[train.pipelines]', "audit.favourable"),
        ("[train.pipelines]", "[audit]\nfavourable = 3\n[train.pipelines]", "audit.favourable"),
        ("[train.pipelines]", '[audit]\nmeant = "depht"\n[train.pipelines]', "audit.meant"),
        ("[train.pipelines]", '[audit]\nmeant = "depth"\n[train.pipelines]', "audit.meant"),
        ("[train.pipelines]", "[gate]\nfairness = { parity = 0.8 }\n[train.pipelines]", "gate.fairness.parity"),
        ("[train.pipelines]", "[gate]\nstress = { tipos = 0.5 }\n[train.pipelines]", "gate.stress.tipos"),
        (
            "[train.pipelines]",
            '[gate]\nstress = { typos = 0.5 }\n[stress]\nkinds = ["case"]\n[train.pipelines]',
            "gate.stress.typos",
        ),
        (
            "[train.pipelines]",
            "[gate]\nstress = { typos = 0.5 }\n[stress]\nenabled = false\n[train.pipelines]",
            "stress.enabled",
        ),
        ("[train.pipelines]", '[stress]\nown = { typos = "own:typos" }\n[train.pipelines]', "stress.own.typos"),
        ("[train.pipelines]", '[evaluate]\nprimary = "rmse"\n[train.pipelines]', "evaluate.primary"),
        ("[train.pipelines]", '[serve]\nfallback = { label = "maybe" }\n[train.pipelines]', "serve.fallback.label"),
        ("[train.pipelines]", '[serve]\nfallback = { to = "label" }\n[train.pipelines]', "serve.fallback.to"),
        ("[train.pipelines]", '[serve]\nfallback = { to = "rule" }\n[train.pipelines]', "serve.fallback.to"),
        ("[train.pipelines]", '[serve]\non_abstain = "fallback"\n[train.pipelines]', "serve.on_abstain"),
        (
            "[train.pipelines]",
            "[[serve.abstain_in]]\nsegment = { depth = '[0,3)' }\nconfidence = 0.5\n[train.pipelines]",
            "serve.abstain_in.0.segment.depth",
        ),
        (
            "[train.pipelines]",
            "[[serve.abstain_in]]\nsegment = { weed = 'sum' }\nconfidence = 0.5\n[train.pipelines]",
            "serve.abstain_in.0.segment.weed",
        ),
        ("[train.pipelines]", "[web]\nport = 8080\n[train.pipelines]", "web.port"),
        ("[train.pipelines]", '[serve]\ndurability = "store"\n[train.pipelines]', "serve.durability"),
        ('key = "pond"', 'time = "when"\n[fields.note]\ntype = "text"\npii = "encrypt"', "fields.note.pii"),
        ("[train.pipelines]", '[rollout]\nplan = "ab"\n[train.pipelines]', "rollout.plan"),
        ("[train.pipelines]", "[rollout]\nholdout = 40\nsplit = 70\n[train.pipelines]", "rollout.split"),
        ('key = "pond"', 'key = "pond"\ntest = { by = "time" }', "data.test.by"),
    ],
)
def test_settings_that_contradict_each_other_are_told(tmp_path: Path, old: str, new: str, where: str) -> None:
    assert old in GOOD
    assert where in [problem.where.split(", ")[1] for problem in problems(tmp_path, GOOD.replace(old, new))]


@pytest.mark.parametrize(
    ("when", "label", "where"),
    [
        ("wed = 'some'", "yes", "when.wed"),
        ("weed = 'sum'", "yes", "when.weed"),
        ("weed = ['none', 3]", "yes", "when.weed"),
        ("weed = { min = 3 }", "yes", "when.weed"),
        ("depth = { words = ['a'] }", "yes", "when.depth"),
        ("depth = { min = 3, words = ['a'] }", "yes", "when.depth"),
        ("depth = true", "yes", "when.depth"),
        ("weed = 'some'", "no!", "label"),
    ],
)
def test_a_rule_of_a_fallback_is_held_to_the_declared_fields(tmp_path: Path, when: str, label: str, where: str) -> None:
    rule = f"[[serve.fallback.rules]]\nwhen = {{ {when} }}\nlabel = '{label}'\n"
    text = GOOD.replace("[train.pipelines]", f"[serve.fallback]\nto = 'rule'\n{rule}[train.pipelines]")
    assert f"serve.fallback.rules.0.{where}" in only(tmp_path, text).where


def test_the_tags_of_alternatives_do_not_stand_in_the_key(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace('key = "pond"', "test = { share = 2 }"))
    assert [problem.where for problem in found] == ["mainstay.toml line 6, data.test.share"]
    found = problems(tmp_path, GOOD.replace('key = "pond"', "test = 3"))
    assert [problem.where for problem in found] == ["mainstay.toml line 6, data.test"]


def test_a_regression_has_its_own_defaults(tmp_path: Path) -> None:
    text = GOOD.replace('"binary"', '"regression"').replace('classes = ["yes", "no"]\n', "")
    settings = read(tmp_path, text).settings
    assert (settings.evaluate.primary, settings.gate.not_worse_by) == ("rmse", {})
    assert settings.data.test.by is SplitBy.ROW  # type: ignore[union-attr]
    assert read(tmp_path, text).origins["evaluate.primary"] == "default"


def test_broken_toml_is_told_with_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "mainstay.toml").write_text("mainstay = 1\nname = [1,\n", encoding="utf-8")
    with pytest.raises(ProjectFileError, match=r"line|end of document"):
        load(tmp_path, environ={})


@pytest.mark.parametrize("text", ["", "mainstay = 2\n", 'mainstay = "1"\n', "mainstay = true\n"])
def test_another_schema_is_refused_before_anything_else(tmp_path: Path, text: str) -> None:
    with pytest.raises(ProjectFileError, match="schema"):
        read(tmp_path, text)


def test_a_missing_file_is_answered_with_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError) as caught:
        load(tmp_path, environ={})
    assert "mainstay init" in caught.value.remedy


def test_a_file_that_is_not_utf8_is_told_by_its_byte(tmp_path: Path) -> None:
    (tmp_path / "mainstay.toml").write_bytes(b"mainstay = 1 # caf\xe9\n")
    with pytest.raises(ProjectFileError, match="byte 18 is 0xe9"):
        load(tmp_path, environ={})


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff" + GOOD).settings.project.name == "ponds"


def test_a_regression_has_no_accuracy_margin(tmp_path: Path) -> None:
    text = GOOD.replace('task = "binary"', 'task = "regression"').replace('classes = ["yes", "no"]\n', "")
    text = (
        text
        + '[evaluate]\nprimary = "rmse"\nmetrics = ["rmse"]\n[gate]\nnot_worse_by = {}\nsegment_not_worse_by = {}\n'
    )
    assert read(tmp_path, text).settings.rollout.guards.accuracy_margin is None
    problem = only(tmp_path, text + "[rollout.guards]\naccuracy_margin = 0.02\n")
    assert problem.where.endswith("rollout.guards.accuracy_margin")
    assert "has no accuracy" in problem.what


RANKING = (
    GOOD.replace('"binary"', '"ranking"')
    .replace('classes = ["yes", "no"]\n', "")
    .replace('key = "pond"', 'group = "pond"')
)


def test_a_ranking_has_its_own_defaults_and_its_group_is_the_unit_where_no_key_is_declared(tmp_path: Path) -> None:
    loaded = read(tmp_path, RANKING)
    assert (loaded.settings.evaluate.primary, loaded.settings.evaluate.metrics) == ("ndcg", ("ndcg", "mrr", "map"))
    assert loaded.settings.gate.not_worse_by == {"ndcg": 0.02}
    assert loaded.settings.data.test.by is SplitBy.KEY  # type: ignore[union-attr]
    assert (loaded.contract.group, loaded.contract.key) == ("pond", "pond")


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ('group = "pond"', "", "data.group", "is missing"),
        ('group = "pond"', 'group = "pnod"', "data.group", "is no declared field"),
        ('role = ["protected"]', "required = false", "fields.pond.required", "names the group of every row"),
        ('role = ["protected"]', 'pii = "drop"', "fields.pond.pii", "hides the group"),
        ('group = "pond"', 'group = "pond"\ntest = { share = 0.2, by = "row" }', "data.test.by", "would part"),
        ('name = "ponds"', 'name = "ponds"\nanswers = "elsewhere"', "project.task", "is not watched"),
        ("[train.pipelines]", '[evaluate]\nprimary = "rmse"\n[train.pipelines]', "evaluate.primary", "is no metric"),
    ],
)
def test_what_a_ranking_cannot_be_without_is_told(tmp_path: Path, old: str, new: str, where: str, what: str) -> None:
    found = [problem for problem in problems(tmp_path, RANKING.replace(old, new)) if where in problem.where]
    assert found
    assert found[0].what.startswith(what)


def test_a_group_means_nothing_elsewhere(tmp_path: Path) -> None:
    problem = only(tmp_path, GOOD.replace('key = "pond"', 'key = "pond"\ngroup = "pond"'))
    assert problem.what == "means nothing for binary"
