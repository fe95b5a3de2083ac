"""What must hold between settings, once each is right by itself. Every function yields all that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mainstay.config import crosscheck_data
from mainstay.config.found import Found
from mainstay.config.found import problem as _problem
from mainstay.config.found import unknown as _unknown
from mainstay.config.settings import (
    CLASSIFICATION_METRICS,
    RANKING_METRICS,
    REGRESSION_METRICS,
    ConditionSettings,
    DeliveryQuestion,
    Durability,
    FairnessMeasure,
    FieldSettings,
    Runners,
    Settings,
    StressKind,
)
from mainstay.core import cron
from mainstay.core.contracts import FieldType, Pii, Role, Task
from mainstay.core.errors import UsageError
from mainstay.core.exploration import LABELS, PLACES
from mainstay.core.fallbacks import FallbackTo, OnAbstain

NUMBERS = (FieldType.NUMBER, FieldType.INTEGER)
MOST_HELD_BACK = 1500
"""Bytes of names and values that a route has place for."""
TEXTS = (FieldType.TEXT, FieldType.CATEGORY, FieldType.IDENTIFIER)


def check_all(settings: Settings) -> list[Found]:
    """Return everything that is wrong, each with the path of its key."""
    checks = (
        _fields,
        _names,
        crosscheck_data.check,
        crosscheck_data.features,
        crosscheck_data.joins,
        _ranking,
        _target,
        _fallback,
        _abstain,
        _explore,
        _pipelines,
        _candidates,
        _search,
        _weights,
        _decide,
        _metrics,
        _stress,
        _delivery,
        _audit,
        _rollout,
        _guards,
        _limits,
        _runner,
        _elsewhere,
        _rewards,
        _retraining,
        _subjects,
        _not_built,
    )
    return [found for check in checks for found in check(settings)]


def _fields(settings: Settings) -> Iterator[Found]:
    if not settings.fields and not settings.project.elsewhere:  # a service's contract is learned from its requests
        yield _problem(
            ("fields",), "no field is declared", allowed="one table [fields.NAME] for each field of a request"
        )
    for name, field in settings.fields.items():
        path = ("fields", name)
        # Polars would take ^x$ for a pattern of names.
        if not name or name[0] in "_^" or not name.isprintable():
            yield _problem(path, "is no name for a field", name, allowed="a printable name not beginning with _ or ^")
        yield from _limits_of(path, field)
        yield from _fits_type(path, field)
        for key in ("values", "bins", "role"):
            yield from _no_repeats((*path, key), getattr(field, key))
        if Role.IGNORED in field.role and len(field.role) > 1:
            yield _problem((*path, "role"), "an ignored field has no other role", list(field.role))
    if settings.fields and not any({Role.FEATURE, Role.SEGMENT} & set(f.role) for f in settings.fields.values()):
        yield _problem(("fields",), "the model would see no field", allowed="at least one with role feature or segment")


def _limits_of(path: Sequence[str], field: FieldSettings) -> Iterator[Found]:
    if field.min is not None and field.max is not None and field.min > field.max:
        yield _problem((*path, "min"), "is above max", field.min, allowed=f"at most {field.max:g}")
    if any(a >= b for a, b in pairwise(field.bins)):
        yield _problem((*path, "bins"), "are not ascending", list(field.bins))
    if len(field.bins) == 1:
        yield _problem((*path, "bins"), "one edge makes no bin", list(field.bins), allowed="at least two edges")


def _fits_type(path: Sequence[str], field: FieldSettings) -> Iterator[Found]:
    homes: dict[str, tuple[FieldType, ...]] = {
        "min": NUMBERS,
        "max": NUMBERS,
        "bins": NUMBERS,
        "on_range": NUMBERS,
        "max_chars": TEXTS,
        "values": (FieldType.CATEGORY,),
        "on_unknown": (FieldType.CATEGORY,),
    }
    for key, types in homes.items():
        if key in field.model_fields_set and field.type not in types:
            yield _problem((*path, key), f"means nothing for type {field.type}", allowed=[str(t) for t in types])


def _no_repeats(path: Sequence[str], values: Sequence[Any]) -> Iterator[Found]:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        yield _problem(path, "holds the same entry twice", twice)


def _names(settings: Settings) -> Iterator[Found]:
    data, fields = settings.data, settings.fields
    for key in ("key", "time"):
        name = getattr(data, key)
        if name is not None and name not in fields:
            yield _unknown(("data", key), "is no declared field", name, fields)
    if data.time in fields and data.time is not None and fields[data.time].type is not FieldType.TIMESTAMP:
        yield _problem(("data", "time"), f"field {data.time} is of type {fields[data.time].type}", allowed="timestamp")
    if data.key in fields and data.key is not None and fields[data.key].type is FieldType.TIMESTAMP:
        yield _problem(("data", "key"), f"field {data.key} is a timestamp and names no unit", allowed="identifier")


def _ranking(settings: Settings) -> Iterator[Found]:
    data, task = settings.data, settings.project.task
    if task is not Task.RANKING:
        if data.group is not None:
            yield _problem(("data", "group"), f"means nothing for {task}", data.group, allowed='task = "ranking"')
        return
    if settings.project.elsewhere:
        yield _problem(("project", "task"), "is not watched where a service of its own answers", "ranking")
    if data.group is None:
        yield _problem(("data", "group"), "is missing", allowed="the field that names whose candidates are ordered")
    elif data.group not in settings.fields:
        yield _unknown(("data", "group"), "is no declared field", data.group, settings.fields)
    else:
        field = settings.fields[data.group]
        if not field.required:
            yield _problem(("fields", data.group, "required"), "names the group of every row", False, allowed=True)
        if field.type is FieldType.TIMESTAMP:
            yield _problem(("data", "group"), f"field {data.group} is a timestamp", allowed="identifier")
        if field.pii not in (Pii.KEEP, Pii.HASH):  # graded traffic could not be put together again
            yield _problem(("fields", data.group, "pii"), "hides the group", str(field.pii), allowed="keep, hash")


def _metrics_of(task: Task) -> tuple[str, ...]:
    if task is Task.RANKING:
        return RANKING_METRICS
    return CLASSIFICATION_METRICS if task.is_classification else REGRESSION_METRICS


def _target(settings: Settings) -> Iterator[Found]:
    target, task = settings.target, settings.project.task
    if "field" not in target.model_fields_set:
        yield _problem(("target", "field"), "is missing", allowed="the name of the column with the truth")
    if target.field in settings.fields:
        yield _problem(
            ("fields", target.field),
            "is the target; it is never part of a request",
            allowed="declare it under [target] alone",
        )
    yield from _no_repeats(("target", "classes"), target.classes)
    if task.is_classification and len(target.classes) < 2 and not settings.project.elsewhere:
        yield _problem(
            ("target", "classes"), "fewer than two classes", list(target.classes), allowed="all classes of the target"
        )
    if task is Task.BINARY and len(target.classes) > 2:
        yield _problem(
            ("target", "classes"),
            "a binary target has two classes",
            list(target.classes),
            allowed='task = "multiclass"',
        )
    if not task.is_classification and target.classes:
        yield _problem(("target", "classes"), f"a {task} has no classes", list(target.classes))


def _fallback(settings: Settings) -> Iterator[Found]:
    fallback, at = settings.serve.fallback, ("serve", "fallback")
    yield from _is_answer(settings, (*at, "label"), fallback.label)
    if fallback.to is FallbackTo.LABEL and fallback.label is None:
        yield _problem((*at, "to"), "names a label that is not declared", "label", allowed="label = the answer, too")
    if (fallback.to is FallbackTo.RULE) != bool(fallback.rules):
        what = "there is no rule" if not fallback.rules else "is needed where rules are declared"
        yield _problem((*at, "to"), what, fallback.to, allowed='to = "rule" and [[serve.fallback.rules]] together')
    if settings.serve.on_abstain is OnAbstain.FALLBACK and fallback.to is None and fallback.label is None:
        yield _problem(
            ("serve", "on_abstain"), "names a fallback that is not declared", "fallback", allowed="[serve.fallback] too"
        )
    for number, rule in enumerate(fallback.rules):
        here = (*at, "rules", str(number))
        yield from _is_answer(settings, (*here, "label"), rule.label)
        for name, given in rule.when.items():
            yield from _condition(settings, (*here, "when", name), name, given)


def _is_answer(settings: Settings, path: Sequence[str], label: Any) -> Iterator[Found]:
    """Yield what is wrong with a label as an answer of this project."""
    target, task = settings.target, settings.project.task
    if label is None:
        return
    if task.is_classification and label not in target.classes:
        yield _unknown(path, "is no declared class", str(label), target.classes)
    if not task.is_classification and isinstance(label, str):
        yield _problem(path, f"the answer of a {task} is a number", label)


def _condition(settings: Settings, path: Sequence[str], name: str, given: Any) -> Iterator[Found]:
    field = settings.fields.get(name)
    if field is None:
        yield _unknown(path, "is no declared field", name, settings.fields)
    elif isinstance(given, ConditionSettings):
        ranged = given.min is not None or given.max is not None
        if ranged == bool(given.words):
            yield _problem(path, "says nothing, or two things", allowed="min, max or both; or words")
        elif ranged and field.type not in NUMBERS:
            yield _problem(path, f"a range means nothing for type {field.type}", allowed=[str(t) for t in NUMBERS])
        elif given.words and field.type is not FieldType.TEXT:
            yield _problem(path, f"words mean nothing for type {field.type}", allowed="text")
    else:
        for value in given if isinstance(given, tuple) else (given,):
            yield from _is_value(path, field, value)


def _is_value(path: Sequence[str], field: FieldSettings, value: Any) -> Iterator[Found]:
    """Yield what is wrong with a value that a field is to be equal to."""
    kinds: dict[FieldType, tuple[type, ...]] = {
        FieldType.BOOLEAN: (bool,),
        FieldType.NUMBER: (int, float),
        FieldType.INTEGER: (int,),
        FieldType.TIMESTAMP: (),
    }
    allowed = kinds.get(field.type, (str,))
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        yield _problem(path, f"is no value of type {field.type}", value)
    elif field.values and value not in field.values:
        yield _unknown(path, "is no declared value", str(value), field.values)


def _abstain(settings: Settings) -> Iterator[Found]:
    task = settings.project.task
    if settings.serve.abstain_in and not task.is_classification:
        yield _problem(("serve", "abstain_in"), f"the answer of a {task} has no confidence", allowed=[])
    segments = {name: field for name, field in settings.fields.items() if Role.SEGMENT in field.role}
    for number, one in enumerate(settings.serve.abstain_in):
        for name, value in one.segment.items():
            path = ("serve", "abstain_in", str(number), "segment", name)
            if name not in segments:
                yield _unknown(path, "is no declared field of role segment", name, segments)
                continue
            if segments[name].type in NUMBERS and len(segments[name].bins) < 2:
                yield _problem(path, "is a number without bins, which names no segment", allowed="bins, or none")
                continue
            known = _segment_values(segments[name])
            text = str(value).lower() if isinstance(value, bool) else value
            if known and text not in known:
                yield _unknown(path, "is no segment of this field", text, known)


def _segment_values(field: FieldSettings) -> list[str]:
    """Return the names that the segments of a field have; none where any value is one."""
    missing = [] if field.required else ["missing"]
    if field.type is FieldType.BOOLEAN:
        return ["true", "false", *missing]
    if field.type is FieldType.CATEGORY:
        return [*field.values, "other", *missing] if field.values else []
    if field.type not in NUMBERS:
        return []
    edges = list(pairwise(field.bins))
    inner = [f"[{a:g},{b:g}{']' if b == field.bins[-1] else ')'}" for a, b in edges]
    return [*inner, f"<{field.bins[0]:g}", f">{field.bins[-1]:g}", *missing]


def _pipelines(settings: Settings) -> Iterator[Found]:
    pipelines = settings.train.pipelines
    if settings.train.pipeline is not None and settings.train.pipeline not in pipelines:
        yield _unknown(("train", "pipeline"), "is no declared pipeline", settings.train.pipeline, pipelines)
    if settings.retrain.on and not pipelines:
        yield _problem(
            ("train", "pipelines"),
            "none is declared, so nothing can be trained again",
            allowed="one entry for each way to build",
        )
    for name in settings.retrain.pipelines:
        if name not in pipelines:
            yield _unknown(("retrain", "pipelines"), "is no declared pipeline", name, pipelines)
    yield from _no_repeats(("retrain", "pipelines"), settings.retrain.pipelines)
    yield from _no_repeats(("retrain", "on"), settings.retrain.on)
    seen = [n for n, f in settings.fields.items() if {Role.FEATURE, Role.SEGMENT} & set(f.role)]
    if pipelines and not settings.train.enabled:
        yield _problem(("train", "enabled"), "is false, and pipelines are declared", allowed="true, or no pipelines")
    for name, pipeline in pipelines.items():
        for taken in (*pipeline.takes, *pipeline.columns):
            if taken not in settings.fields:
                key = "takes" if taken in pipeline.takes else "columns"
                yield _unknown(("train", "pipelines", name, key), "is no declared field", taken, settings.fields)
        # Feature code may make columns of its own: then `input` may name one of those.
        made = pipeline.features is not None or bool(pipeline.uses)
        if pipeline.input is not None and not made and pipeline.input not in seen:
            yield _unknown(
                ("train", "pipelines", name, "input"), "is no declared field that the model sees", pipeline.input, seen
            )


def _candidates(settings: Settings) -> Iterator[Found]:
    train = settings.train
    for name in train.candidates:
        if name not in train.pipelines:
            yield _unknown(("train", "candidates"), "is no declared pipeline", name, train.pipelines)
    yield from _no_repeats(("train", "candidates"), train.candidates)
    if train.candidates and train.pipeline is not None:
        yield _problem(
            ("train", "pipeline"), "says what to train, and so does candidates", train.pipeline, allowed="one"
        )


def _search(settings: Settings) -> Iterator[Found]:
    for name, pipeline in settings.train.pipelines.items():
        above = ("train", "pipelines", name)
        if pipeline.tune and pipeline.tune_by is not None:
            yield _problem(
                (*above, "tune_by"), "says what is searched, and so does tune", pipeline.tune_by, allowed="one"
            )
        for parameter, one in pipeline.tune.items():
            path = (*above, "tune", parameter)
            is_range = one.low is not None and one.high is not None
            if is_range == bool(one.choices) or (one.low is None) != (one.high is None):
                yield _problem(path, "is neither a range nor choices", allowed="low and high, or choices")
            elif is_range and not one.low < one.high:  # type: ignore[operator]
                yield _problem((*path, "low"), "is not below high", one.low, allowed=f"below {one.high}")
            elif is_range and one.log and not one.low > 0:  # type: ignore[operator]
                yield _problem((*path, "low"), "has no logarithm", one.low, allowed="above 0, or log = false")
            elif is_range and one.log and one.step is not None:
                yield _problem((*path, "step"), "means nothing for a logarithm", one.step, allowed="left out")
            elif one.choices and (one.log or one.step is not None):
                yield _problem(path, "choices have no log and no step", allowed="choices alone")
            yield from _no_repeats((*path, "choices"), one.choices)


def _weights(settings: Settings) -> Iterator[Found]:
    train, task = settings.train, settings.project.task
    if train.half_life_days is not None:
        path = ("train", "half_life_days")
        if settings.data.time is None:
            yield _problem(path, "there is no [data] time to tell a row's age by", train.half_life_days)
        if task is Task.RANKING:
            yield _problem(path, "weights of single rows mean nothing for a ranking", train.half_life_days)
    given = train.class_weight
    if given and not task.is_classification:
        yield _problem(("train", "class_weight"), f"a {task} has no classes", given, allowed="left out")
    for name, factor in given.items() if isinstance(given, dict) else ():
        if name not in settings.target.classes:
            yield _unknown(("train", "class_weight", name), "is no declared class", name, settings.target.classes)
        elif not factor > 0:
            yield _problem(("train", "class_weight", name), "is not above 0", factor, allowed="above 0")
    if train.probabilities is not None and not task.is_classification:
        yield _problem(("train", "probabilities"), f"a {task} has none", train.probabilities, allowed="left out")
    if train.calibrate == "none" and train.probabilities not in (None, "as_they_are"):
        yield _problem(("train", "probabilities"), "there are no rows for it: calibrate is none", train.probabilities)


def _decide(settings: Settings) -> Iterator[Found]:
    decide, classes = settings.decide, settings.target.classes
    if settings.gate.max_cost is not None and not decide.costs:
        yield _problem(("gate", "max_cost"), "says nothing without [decide] costs", settings.gate.max_cost)
    if not decide.costs:
        for key in ("abstain", "by"):
            if key in decide.model_fields_set:
                yield _problem(("decide", key), "says nothing without costs", getattr(decide, key), allowed="costs too")
        return
    if not settings.project.task.is_classification:
        yield _problem(("decide", "costs"), f"the answer of a {settings.project.task} is no class", allowed="left out")
        return
    for truth, answers in decide.costs.items():
        if truth not in classes:
            yield _unknown(("decide", "costs", truth), "is no declared class", truth, classes)
        for said in answers:
            if said not in classes:
                yield _unknown(("decide", "costs", truth, said), "is no declared class", said, classes)
    if decide.by == "threshold" and (len(classes) != 2 or decide.abstain is not None):
        yield _problem(
            ("decide", "by"), "one threshold parts two classes and knows no abstaining", "threshold", allowed=["bayes"]
        )
    if settings.serve.abstain_in:
        yield _problem(
            ("serve", "abstain_in"), "asks for confidence, and [decide] costs decide", allowed="[decide] abstain"
        )


def _metrics(settings: Settings) -> Iterator[Found]:
    known = _metrics_of(settings.project.task)
    for metric in settings.evaluate.metrics:
        if metric not in known:
            yield _unknown(("evaluate", "metrics"), f"is no metric of a {settings.project.task} task", metric, known)
    yield from _no_repeats(("evaluate", "metrics"), settings.evaluate.metrics)
    if settings.evaluate.primary not in known:
        yield _unknown(
            ("evaluate", "primary"), f"is no metric of a {settings.project.task} task", settings.evaluate.primary, known
        )
    for key in ("floors", "golden_floors", "not_worse_by", "segment_not_worse_by"):
        for metric, value in getattr(settings.gate, key).items():
            path = ("gate", key, metric)
            if metric not in known:
                yield _unknown(path, f"is no metric of a {settings.project.task} task", metric, known)
            if "floors" not in key and value < 0:
                yield _problem(path, "is below 0", value, allowed="a margin of 0 or more")


def _stress(settings: Settings) -> Iterator[Found]:
    stress = settings.stress
    asked = [*(stress.kinds or StressKind), *stress.own]
    for kind in settings.gate.stress:
        if kind not in asked:
            yield _unknown(("gate", "stress", kind), "is no kind of stress that is measured", kind, asked)
    for name in stress.own:
        if name in set(StressKind):
            yield _problem(("stress", "own", name), "is the name of a built-in kind", name, allowed="another name")
    if settings.gate.stress and not stress.enabled:
        yield _problem(("stress", "enabled"), "is false, and [gate] stress asks for it", allowed="true")


def _delivery(settings: Settings) -> Iterator[Found]:
    asked, delivery = settings.gate.delivery, settings.delivery
    if asked and not delivery.enabled:
        yield _problem(("delivery", "enabled"), "is false, and [gate] delivery asks for it", allowed="true")
    timed = DeliveryQuestion.TIME_TRAVEL in asked or delivery.later_test
    if timed and settings.data.time is None:
        yield _problem(("data", "time"), "is not declared, and [gate] delivery or later_test asks about times")
    for name in delivery.personal:
        if name not in settings.fields:
            yield _unknown(("delivery", "personal"), "names no declared field", name, settings.fields)


def _audit(settings: Settings) -> Iterator[Found]:
    for measure in settings.gate.fairness:
        if measure not in set(FairnessMeasure):
            yield _unknown(("gate", "fairness", measure), "is no measure of fairness", measure, FairnessMeasure)
    favourable, meant, task = settings.audit.favourable, settings.audit.meant, settings.project.task
    path = ("audit", "favourable")
    if favourable is not None and task.is_classification and favourable not in settings.target.classes:
        yield _unknown(path, "is no declared class", str(favourable), settings.target.classes)
    if isinstance(favourable, str) and not task.is_classification:
        yield _problem(path, "is no number", favourable, allowed="the number from which on an answer is favourable")
    if meant is None:
        return
    if meant not in settings.fields:
        yield _unknown(("audit", "meant"), "is no declared field", meant, settings.fields)
    elif {Role.FEATURE, Role.SEGMENT} & set(settings.fields[meant].role):
        yield _problem(("audit", "meant"), "is a field that models see", meant, allowed='a field with role = "ignored"')


def _rollout(settings: Settings) -> Iterator[Found]:
    steps = settings.rollout.steps
    if any(a >= b for a, b in pairwise(steps)) or steps[-1] != 100:
        yield _problem(
            ("rollout", "steps"), "do not go up to 100", list(steps), allowed="ascending percentages, the last one 100"
        )
    most = 100.0 - settings.rollout.holdout
    for name, share in (("steps", max(steps[:-1], default=0.0)), ("split", settings.rollout.split)):
        if share > most:
            what = f"reaches into the holdout of {settings.rollout.holdout:g} %"
            yield _problem(("rollout", name), what, share, allowed=f"at most {most:g} before all")
    if settings.rollout.plan == "ab" and all(r.gain is None for r in settings.rollout.guards.rewards.values()):
        yield _problem(
            ("rollout", "plan"),
            "has nothing that could decide it",
            "ab",
            allowed="ab with [rollout.guards.rewards.NAME] gain; or another plan",
        )
    yield from _held_back(settings)


def _held_back(settings: Settings) -> Iterator[Found]:
    """Check segments that a ramp leaves out; the route file has place for so much."""
    held, path = settings.rollout.hold_back, ("rollout", "hold_back")
    yield from _named_segments(settings, held, path)
    size = sum(len(name.encode()) + sum(len(value.encode()) + 4 for value in values) for name, values in held.items())
    if size > MOST_HELD_BACK:
        yield _problem(path, f"takes {size} bytes", allowed=f"at most {MOST_HELD_BACK}")


def _named_segments(settings: Settings, held: Mapping[str, Sequence[str]], path: tuple[str, ...]) -> Iterator[Found]:
    for name, values in held.items():
        if name not in settings.fields:
            yield _unknown((*path, name), "is no declared field", name, settings.fields)
        elif settings.fields[name].type not in TEXTS:
            yield _problem((*path, name), "has no values to name", allowed=[str(t) for t in TEXTS])
        if not values:
            yield _problem((*path, name), "names no value", allowed="a list of values")
        yield from _no_repeats((*path, name), values)


def _explore(settings: Settings) -> Iterator[Found]:
    """Check what is drawn at random: a number has no others to be drawn from."""
    explore, task, path = settings.serve.explore, settings.project.task, ("serve", "explore")
    yield from _named_segments(settings, explore.hold_back, (*path, "hold_back"))
    yield from _no_repeats((*path, "labels"), explore.labels)
    for label in explore.labels:
        if task.is_classification and label not in settings.target.classes:
            yield _unknown((*path, "labels"), "names a label that is no class", label, settings.target.classes)
    if explore.labels and not task.is_classification:
        yield _problem((*path, "labels"), f"a {task} answers no labels", explore.labels, allowed="left out")
    if settings.retrain.explored == "weigh" and not task.is_classification:
        what = f"is nothing for a {task}: by what its label was chosen is no chance of an answer"
        yield _problem(("retrain", "explored"), what, "weigh", allowed="as_they_are")
    if explore.share <= 0.0:
        return
    if task is Task.REGRESSION:
        what = "a regression answers with a number: there are no other answers with a known chance to draw from"
        yield _problem((*path, "share"), what, explore.share, allowed="0, or a classifier, or a ranking")
    elif explore.how is not None and explore.how not in (allowed := LABELS if task.is_classification else PLACES):
        yield _problem((*path, "how"), f"is nothing for a {task}", explore.how, allowed=[one.value for one in allowed])
    if settings.project.elsewhere:
        what = "answers are given elsewhere, and cannot be drawn here"
        yield _problem((*path, "share"), what, explore.share, allowed=0)


def _guards(settings: Settings) -> Iterator[Found]:
    guards, task, here = settings.rollout.guards, settings.project.task, ("rollout", "guards")
    if guards.accuracy_margin is not None and not task.is_classification:
        yield _problem(
            (*here, "accuracy_margin"),
            f"a {task} has no accuracy",
            guards.accuracy_margin,
            allowed="loss_margin for a regression, rewards for a ranking",
        )
    if guards.class_mix is not None and not task.is_classification:
        yield _problem((*here, "class_mix"), f"a {task} has no classes", guards.class_mix, allowed="mean_score")
    for name in ("loss_margin", "loss_cap", "differs_by"):
        if getattr(guards, name) is not None and task is not Task.REGRESSION:
            yield _problem((*here, name), f"a {task} has no such errors", getattr(guards, name), allowed="left out")
    needs_cap = guards.loss_margin is not None or (task is Task.REGRESSION and guards.mean_score is not None)
    if needs_cap and guards.loss_cap is None:
        yield _problem(
            (*here, "loss_cap"), "is missing", allowed="the largest error that counts, in units of the target"
        )
    yield from _reward_guards(settings)


def _reward_guards(settings: Settings) -> Iterator[Found]:
    for name, reward in settings.rollout.guards.rewards.items():
        here = ("rollout", "guards", "rewards", name)
        if name == settings.target.field:
            yield _problem(here, "is the target, whose labels are no rewards", name)
        if reward.margin is None and reward.gain is None:
            yield _problem(here, "says nothing", allowed="margin, gain or both")
        if (reward.low is None) != (reward.high is None):
            yield _problem((*here, "low"), "and high belong together", reward.low, allowed="both or none")
        elif reward.low is not None and reward.high is not None and reward.low >= reward.high:
            yield _problem((*here, "low"), "is not below high", reward.low, allowed=f"below {reward.high:g}")


def _limits(settings: Settings) -> Iterator[Found]:
    watch = settings.watch
    if watch.block_min_rows > watch.block_max_rows:
        yield _problem(
            ("watch", "block_min_rows"),
            "is above block_max_rows",
            watch.block_min_rows,
            allowed=f"at most {watch.block_max_rows}",
        )
    ports = settings.serve.port, settings.web.port
    if ports[0] == ports[1] != 0 and settings.serve.host == settings.web.host:
        yield _problem(("web", "port"), "is the port of [serve] too", ports[1], allowed="another port")


def _runner(settings: Settings) -> Iterator[Found]:
    serve = settings.serve
    if serve.runner_python is not None and serve.runner is Runners.NEVER:
        yield _problem(
            ("serve", "runner_python"),
            'says nothing beside runner = "never"',
            serve.runner_python,
            allowed="auto, always",
        )


def _elsewhere(settings: Settings) -> Iterator[Found]:
    attach = settings.attach
    if settings.project.elsewhere and settings.retrain.on:
        yield _problem(("retrain", "on"), "nothing is trained for a model that answers elsewhere", allowed=[])
    slo = settings.serve.slo
    if settings.project.elsewhere and (slo.availability is not None or slo.latency_ms is not None):
        yield _problem(("serve", "slo"), "promises something of calls that are answered elsewhere, and not counted")
    if attach.confidence is not None and attach.prediction is None:
        yield _problem(("attach", "confidence"), "is given without the answer it speaks of", allowed="prediction too")
    for name, pii in attach.pii.items():
        if pii not in (Pii.HASH, Pii.DROP):
            yield _problem(("attach", "pii", name), "says nothing", str(pii), allowed=["hash", "drop"])


def _rewards(settings: Settings) -> Iterator[Found]:
    for name, reward in settings.watch.rewards.items():
        if name == settings.target.field:
            yield _problem(("watch", "rewards", name), "is the target, whose labels are no rewards", name)
        if reward.floor is None and reward.absent is None:
            allowed = "a floor, or what an absent one is worth"
            yield _problem(("watch", "rewards", name), "says nothing", allowed=allowed)
        if "wait_hours" in reward.model_fields_set and reward.absent is None:
            path = ("watch", "rewards", name, "wait_hours")
            yield _problem(path, "is waited for nothing", reward.wait_hours, allowed="absent too")


def _retraining(settings: Settings) -> Iterator[Found]:
    retrain, task = settings.retrain, settings.project.task
    try:
        cron.zone_of(retrain.time_zone)
    except UsageError as error:
        yield _problem(("retrain", "time_zone"), error.message)
    for declared in retrain.on:
        kind, _, wanted = declared.partition(":")
        if kind == "schedule":
            try:
                cron.parse(wanted)
            except UsageError as error:
                yield _problem(("retrain", "on"), error.message)
        if kind == "reward" and (wanted not in settings.watch.rewards or settings.watch.rewards[wanted].floor is None):
            floors = [name for name, reward in settings.watch.rewards.items() if reward.floor is not None]
            yield _unknown(("retrain", "on"), "names no reward with a floor under [watch.rewards]", wanted, floors)
        if kind == "quality":
            metric = wanted.partition(":")[0]
            allowed = ["accuracy"] if task.is_classification else ["mae", "rmse"] if task is Task.REGRESSION else []
            if metric not in allowed:
                yield _problem(("retrain", "on"), f"is not measured on labels of a {task}", metric, allowed=allowed)
    for name, source in retrain.sources.items():
        is_database = "://" in source.address and not source.address.startswith(("http://", "https://"))
        if is_database != (source.query is not None):
            what = "is asked nothing" if is_database else "is no database"
            yield _problem(("retrain", "sources", name, "query"), what, allowed="an address of a database, and a query")
        if "@" in source.address and source.address.startswith("http"):
            instead = "token_env = the variable that holds it"
            yield _problem(("retrain", "sources", name, "address"), "holds a secret", allowed=instead)
    if retrain.min_agreement is not None and not retrain.trusted:
        path = ("retrain", "min_agreement")
        yield _problem(path, "agrees with nobody", retrain.min_agreement, allowed="trusted = who is believed, too")
    for key in ("max_flip_share", "max_label_noise", "min_agreement"):
        if getattr(retrain, key) is not None and not task.is_classification:
            yield _problem(("retrain", key), f"a {task} has no classes", getattr(retrain, key))
    yield from _online(settings)
    if retrain.suspects != "keep" and not task.is_classification:
        yield _problem(("retrain", "suspects"), f"a {task} has no classes", retrain.suspects, allowed=["keep"])


def _online(settings: Settings) -> Iterator[Found]:
    """What is asked of a fit from nothing is not done to a model that goes on learning."""
    retrain = settings.retrain
    if not retrain.online:
        return
    path, what = ("retrain", "online"), "is not possible with that"
    if settings.project.task is Task.RANKING:
        yield _problem(path, "rankings are not learned online", value=True, allowed="false")
    if retrain.suspects != "keep":
        yield _problem(path, what, 'suspects = "leave_out"', allowed='suspects = "keep"; max_label_noise judges too')
    if settings.train.class_weight is not None:
        yield _problem(path, what, "class_weight", allowed="no [train] class_weight: labels count as they come")
    if retrain.pipelines:
        yield _problem(path, what, list(retrain.pipelines), allowed="no [retrain] pipelines: nothing is fitted anew")
    if retrain.explored == "weigh":
        yield _problem(path, what, 'explored = "weigh"', allowed='explored = "as_they_are": labels count as they come')


def _subjects(settings: Settings) -> Iterator[Found]:
    """An encrypted field is somebody's: the key field must say whose, in every row."""
    encrypted = [name for name, field in settings.fields.items() if field.pii is Pii.ENCRYPT]
    if not encrypted:
        return
    key = settings.data.key
    if key is None:
        for name in encrypted:
            yield _problem(
                ("fields", name, "pii"),
                "is encrypted under a key of its subject, and no field names the subject",
                "encrypt",
                allowed="[data] key = the field that does; or keep, hash, drop",
            )
    elif key in settings.fields and not settings.fields[key].required and not settings.project.elsewhere:
        yield _problem(
            ("fields", key, "required"),
            f"it names whose {', '.join(encrypted)} is, and may be missing",
            value=False,
            allowed="true",
        )


def _not_built(settings: Settings) -> Iterator[Found]:
    if settings.serve.durability is Durability.STORE:
        yield _problem(("serve", "durability"), "is not built yet", "store", allowed=["fsync", "os", "none"])
