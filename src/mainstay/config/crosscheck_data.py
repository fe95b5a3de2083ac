"""What must hold between settings of [data]: how rows are split, folded and drawn; and of features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from mainstay.config.found import Found, problem, unknown
from mainstay.config.settings import FoldSettings, Settings, SplitBy, TestSplit
from mainstay.core.contracts import Task

KEYED = (SplitBy.KEY, SplitBy.KEY_STRATUM, SplitBy.TIME_KEY)
STRATIFIED = (SplitBy.STRATUM, SplitBy.KEY_STRATUM)
TIMED = (SplitBy.TIME, SplitBy.TIME_KEY)


def check(settings: Settings) -> Iterator[Found]:
    """Yield everything that is wrong with how rows are taken apart."""
    test, folds, golden = settings.data.test, settings.data.folds, settings.data.golden
    if isinstance(test, TestSplit):
        yield from _manner(settings, ("data", "test"), test.by, group=test.group, stratum=test.stratum)
        yield from _means_something(settings, ("data", "test"), test)
    if folds.by is not None:
        yield from _manner(settings, ("data", "folds"), folds.by, group=folds.group, stratum=folds.stratum)
    yield from _means_something(settings, ("data", "folds"), folds)
    if golden.rows is not None and golden.share is not None:
        yield problem(("data", "golden"), "says two things", allowed="rows, or a share of the training rows")
    if golden.share is not None:
        yield from _manner(settings, ("data", "golden"), golden.by)
    if golden.declared and "content" not in golden.apart and settings.data.key is None:
        allowed = '[data] key, or apart = ["content"]'
        yield problem(("data", "golden", "apart"), "there is no [data] key to tell rows apart by", allowed=allowed)


def joins(settings: Settings) -> Iterator[Found]:
    """Yield everything that is wrong with what is joined to the rows."""
    data = settings.data
    for name in data.tables:
        if data.time is None:
            yield problem(("data", "tables", name), "is joined as of a row's time", allowed="[data] time")
    feast = data.feast
    if feast.declared and data.time is None:
        yield problem(("data", "feast"), "is joined as of a row's time", allowed="[data] time")
    if feast.declared and bool(feast.features) == (feast.service is not None):
        yield problem(("data", "feast", "features"), "says nothing, or two things", allowed="features, or a service")
    if not feast.declared and (feast.features or feast.service):
        yield problem(("data", "feast", "repo"), "is missing", allowed="the folder with feature_store.yaml")


def features(settings: Settings) -> Iterator[Found]:
    """Yield everything that is wrong with how pipelines name features."""
    for name, pipeline in settings.train.pipelines.items():
        path = ("train", "pipelines", name)
        if pipeline.uses and pipeline.features is not None:
            yield problem((*path, "uses"), "stands beside `features`", list(pipeline.uses), allowed="one of the two")
        if pipeline.beside is not None and not pipeline.uses:
            yield problem((*path, "beside"), "means nothing without `uses`", list(pipeline.beside))
        if pipeline.uses and pipeline.features_form != "polars":
            yield problem((*path, "features_form"), "means nothing with `uses`", pipeline.features_form)
        twice = [one for one, count in Counter(pipeline.uses).items() if count > 1]
        if twice:
            yield problem((*path, "uses"), "holds the same entry twice", twice)
        for one in pipeline.beside or ():
            if one not in settings.fields:
                yield unknown((*path, "beside"), "is no declared field", one, settings.fields)


def _manner(
    settings: Settings, path: Sequence[str], by: SplitBy, *, group: str | None = None, stratum: str | None = None
) -> Iterator[Found]:
    data = settings.data
    if by in KEYED and (group or data.key or data.group) is None:
        yield problem((*path, "by"), "there is no [data] key to split by", str(by))
    if by in TIMED and data.time is None:
        yield problem((*path, "by"), "there is no [data] time to split by", str(by))
    if by in STRATIFIED and stratum is None and not settings.project.task.is_classification:
        allowed = ["row", "key", "time", "time_key", "or a stratum"]
        yield problem((*path, "by"), "there are no classes to keep shares of", str(by), allowed=allowed)
    if by in (SplitBy.ROW, SplitBy.STRATUM) and settings.project.task is Task.RANKING:
        yield problem((*path, "by"), "would part the candidates of a group", str(by), allowed=["key", "time"])


def _means_something(settings: Settings, path: Sequence[str], rule: TestSplit | FoldSettings) -> Iterator[Found]:
    known = [*settings.fields, settings.target.field]
    for key, manners in (("group", (*KEYED, SplitBy.TIME)), ("stratum", STRATIFIED)):
        name = getattr(rule, key)
        if name is None:
            continue
        if name not in known:
            yield unknown((*path, key), "is no declared field", name, known)
        if rule.by not in manners:
            yield problem((*path, key), f"means nothing for by = {_shown(rule.by)}", name, allowed=_names(manners))
    if rule.gap_hours and rule.by not in TIMED:
        what = f"means nothing for by = {_shown(rule.by)}"
        yield problem((*path, "gap_hours"), what, rule.gap_hours, allowed=_names(TIMED))


def _shown(by: SplitBy | None) -> str:
    return "none" if by is None else str(by)


def _names(manners: Sequence[SplitBy]) -> list[str]:
    return [str(one) for one in manners]
