"""The settings table: name, type, default, unit and help of everything in mainstay.toml.

The loader, the environment variables, the flags, `mainstay config show` and docs/configuration.md
are all fed from here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from mainstay.config.logs import LogFormat
from mainstay.core import material
from mainstay.core.contracts import FieldType, Pii, Policy, Role, Task
from mainstay.core.exploration import How
from mainstay.core.fallbacks import FallbackTo, OnAbstain
from mainstay.core.incidents import Severity
from mainstay.core.usage import Prices

SCHEMA_VERSION = 1
"""Of mainstay.toml."""

CLASSIFICATION_METRICS = ("accuracy", "macro_f1", "log_loss", "ece", "brier")
REGRESSION_METRICS = ("mae", "rmse", "r2")
RANKING_METRICS = ("ndcg", "mrr", "map")

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, 0 to 1."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
CODE_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
QUANTILE_PATTERN = r"^p[1-9][0-9]?(\.[0-9]{1,3})?$"
GuardName = Literal[
    "error_rate",
    "error_rate_difference",
    "error_rate_ratio",
    "abstain_rate",
    "abstain_rate_ratio",
    "latency",
    "accuracy",
    "loss",
    "disagreement",
    "class_mix",
    "mean_score",
    "reward",
]
PROVEN: tuple[GuardName, ...] = tuple(name for name in get_args(GuardName) if name != "latency")
"""All but latency: a high quantile takes many requests to show."""
TRIGGER_PATTERN = (
    r"^(incident:(data_fault|quality|output|reward|operations|skew|input)|rows:[1-9][0-9]*|age:[0-9]+(\.[0-9]+)?"
    r"|reward:[A-Za-z0-9][A-Za-z0-9_-]{0,62}|quality:(accuracy|mae|rmse):[0-9]+(\.[0-9]+)?|schedule:.+)$"
)


class Section(BaseModel):
    """A table of the file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


def _as_tuple(value: Any) -> Any:
    # A tuple, as strict validation of Python values wants one.
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class Answers(StrEnum):
    """Who answers."""

    HERE = "here"
    """`mainstay serve`, with a version that was trained here."""
    ELSEWHERE = "elsewhere"
    """A service of its own, which is watched (`mainstay.Watch`, `mainstay.log`)."""


class StressKind(StrEnum):
    """How rows go wrong."""

    TYPOS = "typos"
    SLANG = "slang"
    CASE = "case"
    EMOJI = "emoji"
    TRUNCATION = "truncation"
    CODE_MIXING = "code_mixing"
    MISSING = "missing"
    UNITS = "units"
    SWAPPED = "swapped"
    CATEGORIES = "categories"
    SCALE = "scale"


class FairnessMeasure(StrEnum):
    """What protected groups are compared in."""

    SELECTION_RATIO = "selection_ratio"
    """Least share of favourable answers over the largest."""
    TRUE_POSITIVE_DIFFERENCE = "true_positive_difference"
    """Largest minus least share of favourable answers among those whose truth is favourable."""
    FALSE_POSITIVE_DIFFERENCE = "false_positive_difference"
    """The same among those whose truth is not."""
    ACCURACY_DIFFERENCE = "accuracy_difference"
    CALIBRATION_DIFFERENCE = "calibration_difference"
    """Largest minus least difference between confidence and share of right answers."""


class DeliveryQuestion(StrEnum):
    """What is asked of every delivery of data."""

    SCHEMA = "schema"
    """Do the rows hold the contract?"""
    MISSING = "missing"
    DUPLICATES = "duplicates"
    NEAR_DUPLICATES = "near_duplicates"
    """Are the test rows others than the training rows?"""
    LEAKAGE = "leakage"
    """Does no feature know the target?"""
    IDENTIFIERS = "identifiers"
    """Is no feature a name of things?"""
    TIME_TRAVEL = "time_travel"
    LABEL_NOISE = "label_noise"
    BALANCE = "balance"
    DRIFT = "drift"
    """Are the rows of one population with the last delivery's?"""
    PERSONAL = "personal"


class SplitBy(StrEnum):
    """How test rows are chosen."""

    ROW = "row"
    """Any rows, at random."""
    STRATUM = "stratum"
    """The same share of each class."""
    KEY = "key"
    """All rows of some keys."""
    TIME = "time"
    """The latest rows."""
    KEY_STRATUM = "key_stratum"
    """All rows of some keys, chosen so that each class keeps its share."""
    TIME_KEY = "time_key"
    """The latest rows; earlier rows of their keys are left out of training."""


class Durability(StrEnum):
    """When a prediction counts as recorded."""

    FSYNC = "fsync"
    """On disk: survives a power cut."""
    OS = "os"
    """With the operating system: survives a killed process."""
    NONE = "none"
    STORE = "store"
    """Committed to the store."""


class Runners(StrEnum):
    """Which bundles run in a process of their own beside the worker."""

    AUTO = "auto"
    """Those that are not compiled."""
    ALWAYS = "always"
    NEVER = "never"


class Plan(StrEnum):
    """How a version is brought to all users."""

    SHADOW = "shadow"
    CANARY = "canary"
    AB = "ab"
    BLUE_GREEN = "blue_green"
    ALL_AT_ONCE = "all_at_once"


class ProjectSettings(Section):
    """What this project is."""

    name: str = Field("model", pattern=NAME_PATTERN)
    """Name of the model: in every address, event and version (`name@3`). Letters, digits, `-` and `_`."""
    task: Task = Task.MULTICLASS
    """What kind of answer the model gives."""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of every random choice: the same data and seed give the same model."""
    answers: Answers = Answers.HERE
    """Who answers: `mainstay serve`, or a service of its own that Mainstay watches and nothing more."""

    @property
    def elsewhere(self) -> bool:
        """Return whether a service of its own answers, and this project only watches it."""
        return self.answers is Answers.ELSEWHERE


class TestSplit(Section):
    """Test rows taken out of the training data, once and for all."""

    __test__ = False

    share: float = Field(0.2, gt=0, lt=1)
    """Part of the rows that becomes the test set (0 to 1)."""
    by: SplitBy = SplitBy.STRATUM
    """How they are chosen."""
    group: str | None = None
    """Field whose rows are never parted, where it is another than [data] key; with `by = "time"` a group that lies on
    both sides is refused."""
    stratum: str | None = None
    """Field whose values keep their shares, where it is another than the target."""
    gap_hours: float = Field(0.0, ge=0)
    """With a time: training rows of so long before the first test row are left out, as their truth or their features
    may reach into it (hours)."""


class FoldSettings(Section):
    """How training rows are cut for cross-validation."""

    by: SplitBy | None = None
    """How; not given: whole keys, and each class in every fold. By time each fold is answered by what was fitted to the
    rows before it."""
    count: int = Field(5, ge=2, le=50)
    """How many folds."""
    group: str | None = None
    """As in `test`."""
    stratum: str | None = None
    """As in `test`."""
    gap_hours: float = Field(0.0, ge=0)
    """As in `test` (hours)."""


class GoldenSettings(Section):
    """Rows that are frozen when they are first used, and that no model is ever fitted to, calibrated or chosen on."""

    rows: str | None = None
    """Address of the rows, as for `train`; every one must hold the contract."""
    share: float | None = Field(None, gt=0, lt=1)
    """Instead: this part of the training rows, drawn once and kept (0 to 1)."""
    by: SplitBy = SplitBy.STRATUM
    """How a share is drawn."""
    apart: tuple[Literal["key", "content"], ...] = Field(("key", "content"), min_length=1)
    """Which other rows are kept from training, calibration and test: those of a golden key, those that say nearly the
    same."""

    @property
    def declared(self) -> bool:
        """Return whether the project has a golden set."""
        return self.rows is not None or self.share is not None


class QuarantineSettings(Section):
    """Rows that break the contract are set aside."""

    max_share: Share = 0.05
    """More bad rows than this share stop the training (0 to 1)."""


def _kind_of_test(value: Any) -> str:
    return "address" if isinstance(value, str) else "split"


TestRows = Annotated[Annotated[str, Tag("address")] | Annotated[TestSplit, Tag("split")], Discriminator(_kind_of_test)]


class TableSettings(Section):
    """A table that is joined to the rows as of their times: of each key what had happened, and was known, by then."""

    rows: str
    """Address, as for `train`."""
    on: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    """Columns of rows and table that must be equal; one or a list."""
    time: str
    """Column of the table that says when it happened."""
    created: str | None = None
    """Column of the table that says when it was known, where that was later."""
    max_age_hours: float | None = Field(None, gt=0)
    """What happened longer before the row's time does not count (hours)."""
    take: tuple[str, ...] = ()
    """Columns that are joined; none given: all others."""
    prefix: str = ""
    """Put before their names."""


class FeastSettings(Section):
    """A Feast store whose features are joined to the rows as of their times, by its historical retrieval."""

    repo: str = ""
    """Folder with its feature_store.yaml."""
    features: tuple[str, ...] = ()
    """`view:feature`, ..."""
    service: str | None = None
    """Instead: the name of a feature service."""
    on: dict[str, str] = {}
    """Join key of Feast = column of the rows; none given: [data] key under its own name."""
    python: str | None = None
    """Interpreter that has Feast, where this one has not (`pip install 'mainstay[feast]'`); a path, from the project's
    folder."""
    timeout_s: float = Field(300.0, gt=0)
    """How long it may take (seconds)."""

    @property
    def declared(self) -> bool:
        """Return whether a store is named."""
        return bool(self.repo)


class DataSettings(Section):
    """Where the rows are, and which of their fields name time and unit."""

    train: str = "data/train.csv"
    """Training rows: CSV, Parquet or NDJSON; a path, a pattern (`data/*.parquet`), or a name of [data.sources]."""
    test: TestRows = TestSplit()
    """Test rows, frozen: an address as for `train`, or `{ share = 0.2, by = "stratum" }` to take them from `train`."""
    time: str | None = None
    """Field with the event time; without one the arrival time counts."""
    key: str | None = None
    """Field that names the unit of evidence and of sticky routing (a customer); without one the client address."""
    group: str | None = None
    """Of a ranking: field that names whose candidates are ordered together (a query, a session)."""
    tables: dict[str, TableSettings] = {}
    """Tables that are joined to training, test and golden rows: one `[data.tables.NAME]` for each."""
    feast: FeastSettings = FeastSettings()
    golden: GoldenSettings = GoldenSettings()
    folds: FoldSettings = FoldSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    sources: dict[str, str] = {}
    """Names for addresses."""


class FieldSettings(Section):
    """One field of the contract."""

    type: FieldType
    """What the field holds."""
    required: bool = True
    """Whether a row without it (absent or null) is refused."""
    min: float | None = None
    """Smallest number allowed, inclusive."""
    max: float | None = None
    """Largest number allowed, inclusive."""
    max_chars: int | None = Field(None, ge=1)
    """Longest text allowed (characters)."""
    values: tuple[str, ...] = ()
    """Known categories; none given: any."""
    on_unknown: Policy = Policy.REFUSE
    """What happens to a category outside `values`; `flag` answers with a warning."""
    on_range: Policy = Policy.REFUSE
    """What happens to a number outside `min` to `max`; `flag` answers with a warning."""
    role: Annotated[
        tuple[Annotated[Role, Field(strict=False)], ...],
        BeforeValidator(_as_tuple),
        Field(min_length=1),
    ] = (Role.FEATURE,)
    """What the field is used for; one role or a list. The model sees features and segments."""
    bins: tuple[float, ...] = ()
    """Edges that turn a number into a segment, ascending."""
    pii: Pii = Pii.KEEP
    """How the journal keeps it; `encrypt` seals it under a key of the row's subject, which [data] key names."""


class TargetSettings(Section):
    """The truth that the model is to tell."""

    field: str = "target"
    """Column with the truth in the training data; never part of a request."""
    classes: tuple[str, ...] = ()
    """Its classes, in the order of the answers; none for regression."""


class ColumnSettings(Section):
    """The type of one column that the estimator gets, where it is another than its field's usual one."""

    dtype: str = Field(min_length=1)
    """As pandas (or Polars) names it: `float32`, `category`, `Int64`, `datetime64[ns]`."""
    categories: tuple[str | int | float | bool, ...] = ()
    """Of a category, in order."""
    ordered: bool = False
    """Whether the order of the categories means something."""
    nan: bool = False
    """Whether a missing value in a column of objects is NaN instead of None."""


class FeaturesSettings(Section):
    """Where declared features stand (`@mainstay.feature`)."""

    paths: tuple[str, ...] = ()
    """Files, and folders whose .py files are read; a folder outside the project may serve several. None given:
    features.py beside this file."""


class SearchSettings(Section):
    """What one parameter is searched over: a range, or choices."""

    low: int | float | None = None
    """Least value; whole numbers at both ends search whole numbers."""
    high: int | float | None = None
    """Largest value, inclusive."""
    log: bool = False
    """Whether the logarithm is searched evenly (learning rates, strengths of regularisation)."""
    step: int | float | None = Field(None, gt=0)
    """Distance between values; without it any."""
    choices: tuple[str | bool | int | float, ...] = ()
    """Instead of a range: these values."""


class PipelineSettings(Section):
    """One way to build the model."""

    build: str = Field(pattern=CODE_PATTERN)
    """`module:function` in the project that takes `params` and returns an unfitted estimator."""
    features: str | None = Field(None, pattern=CODE_PATTERN)
    """`module:function` that takes and returns a Polars frame, row by row; it travels with the model."""
    uses: tuple[str, ...] = ()
    """Instead: names of declared features, whose columns the estimator gets after the fields, in this order."""
    beside: tuple[str, ...] | None = None
    """With `uses`: the fields that the estimator gets beside the features; not given: all that it takes."""
    input: str | None = None
    """The one field that the estimator gets as a one-dimensional array; without it, a pandas frame of all."""
    params: dict[str, Any] = {}
    """Passed to `build`."""
    form: Literal["pandas", "polars", "array"] = "pandas"
    """What the estimator gets: a frame, or a two-dimensional array without names."""
    features_form: Literal["polars", "pandas"] = "polars"
    """What the feature function takes."""
    takes: tuple[str, ...] = ()
    """Fields that are handed over, in order; none given: all that the model sees."""
    dtype: str | None = None
    """NumPy type of the array (`form = "array"`); without it float64."""
    columns: dict[str, ColumnSettings] = {}
    """Columns of another type than their field's usual one."""
    labels: Literal["text", "integer", "boolean", "number"] = "text"
    """What the estimator is fitted to: the classes as text, or as what they were (XGBoost wants 0, 1, ...)."""
    tune: dict[str, SearchSettings] = {}
    """What training searches over: parameter = `{ low, high, log, step }` or `{ choices }`. A name with two underscores
    is set on the estimator (`logisticregression__C`), any other is one of `params`, dots lead into tables."""
    tune_by: str | None = Field(None, pattern=CODE_PATTERN)
    """Instead of `tune`: `module:function` that takes an Optuna trial and returns parameters by name."""


class TuneSettings(Section):
    """How long parameters are searched for, where a pipeline declares `tune` (`pip install 'mainstay[tuning]'`)."""

    trials: int = Field(20, ge=1)
    """Tries at most, those of a training that was interrupted among them."""
    seconds: float | None = Field(None, gt=0)
    """No try begins when all of them together took so long (seconds); without it only `trials` counts."""
    prune: bool = True
    """Whether a try whose first folds lie below the median of others is given up."""


class TrainSettings(Section):
    """How a version is trained."""

    enabled: bool = True
    """Whether this project trains; false for a model that was adopted as it is and cannot be fitted again."""
    pipeline: str | None = None
    """The pipeline of `mainstay train`; without it the first one."""
    candidates: tuple[str, ...] = ()
    """Instead of `pipeline`: several, from simple to complex, which are compared on the same folds."""
    choose: Literal["best", "simplest", "cheapest"] = "best"
    """Which candidate is taken: the best mean; the first of those within one standard error of it; the one that answers
    quickest of those shown to be at most `choose_margin` worse."""
    choose_margin: float = Field(0.01, ge=0)
    """How much worse than the best in the primary metric the cheapest may be."""
    repeats: int = Field(1, ge=1, le=20)
    """How often the comparison is repeated with other folds; more gives narrower intervals."""
    half_life_days: float | None = Field(None, gt=0)
    """A training row that is so much older than the newest one, by [data] time, counts half (days)."""
    class_weight: Literal["balanced"] | dict[str, float] | None = None
    """How much the rows of a class count: `balanced`, or class = factor. Probabilities are brought back to the data's
    own shares; what a mistake costs is declared under [decide]."""
    calibrate: Literal["out_of_fold", "held_out", "none"] = "out_of_fold"
    """What confidence and probabilities are calibrated on: rows left out in cross-validation, or a part of the training
    rows that the model is never fitted on."""
    calibrate_share: float = Field(0.2, gt=0, lt=1)
    """The part of the keys that `held_out` takes (0 to 1)."""
    probabilities: Literal["as_they_are", "auto", "temperature", "sigmoid", "isotonic"] | None = None
    """How the probabilities of all classes are calibrated; `auto` takes what cross-validation finds best. Without it
    `auto` where [decide] declares costs, else as they are."""
    tune: TuneSettings = TuneSettings()
    timeout_s: float = Field(300.0, gt=0)
    """A training that takes longer is stopped (seconds)."""
    memory_mb: int = Field(4000, ge=256)
    """A training that needs more memory is stopped (MB)."""
    pipelines: dict[str, PipelineSettings] = {}
    """The ways to build the model, by name."""


class DecideSettings(Section):
    """Which class is answered, where wrong answers cost unlike much: the one of least expected cost."""

    costs: dict[str, dict[str, float]] = {}
    """True class = { answered class = cost }; what is not named costs 0 where it is right, else 1. None: the most
    probable class is answered."""
    abstain: float | None = Field(None, ge=0)
    """Cost of an answer that is left to a person: where all labels are expected to cost more, the model abstains."""
    by: Literal["auto", "bayes", "threshold"] = "auto"
    """`bayes`: the costs decide, on calibrated probabilities; `threshold` (two classes, without `abstain`): what cost
    least on held-out rows; `auto`: the latter only where it is shown to cost less."""


class EvaluateSettings(Section):
    """What is measured."""

    primary: str = "accuracy"
    """The metric that decides between pipelines (regression: rmse; ranking: ndcg)."""
    metrics: tuple[str, ...] = ("accuracy", "macro_f1", "log_loss", "ece")
    """What is measured on the test rows (regression: mae, rmse, r2; ranking: ndcg, mrr, map)."""
    at: int = Field(10, ge=1)
    """Of a ranking: how many first candidates NDCG and MAP look at."""
    slices_min_rows: int = Field(50, ge=1)
    """Segments with fewer rows are reported, not judged (rows)."""


class StressSettings(Section):
    """The evaluation set as real users and broken pipelines would send it: what is kept of the primary metric."""

    enabled: bool = True
    """Whether it is measured with each version."""
    kinds: tuple[StressKind, ...] = ()
    """Which kinds; empty: all that can happen to this contract's fields."""
    strengths: tuple[Share, ...] = (0.1, 0.3, 1.0)
    """How strong: share of the words, of the rows, or of the size (0 to 1)."""
    judged_at: Share = 0.3
    """The strength at which [gate] stress judges (0 to 1)."""
    rows: int = Field(500, ge=20)
    """Most test rows that it is measured on (rows)."""
    own: dict[str, Annotated[str, Field(pattern=CODE_PATTERN)]] = {}
    """This project's own kinds: name = "module:function", which takes a row, a strength and a NumPy generator and
    returns the row as it comes then."""


class AuditSettings(Section):
    """Who is served worse: answers per protected group (fields with `role = "protected"`)."""

    favourable: str | float | None = None
    """The class that is good to get; of a regression the number from which on an answer is. Without it nothing can be
    said about selection and errors."""
    meant: str | None = None
    """A declared field that no model sees: what the target stands for (need of care, where the target is its cost)."""
    proxies: bool = True
    """Whether it is measured how far features give a protected group away."""


class CardSettings(Section):
    """What the model card says beside what is measured: `mainstay card`."""

    intended_use: str = ""
    """What the model is for, and for whom."""
    not_for: str = ""
    """What it must not be used for."""
    owner: str = ""
    """Who answers for it, and where they are reached."""
    licence: str = ""
    """Under which terms it may be used."""
    limits: tuple[str, ...] = ()
    """Known limits, a sentence each."""


class WorstSliceSettings(Section):
    """What the worst slice that nobody declared must show, searched for on one half of the test rows and judged on the
    other; told without a limit."""

    floor: float | None = None
    """Least accuracy (ranking: NDCG; regression: largest mean absolute error) of any slice; not asked without it."""
    not_worse_by: float | None = Field(None, gt=0)
    """How much worse than the champion it may be in any slice, paired; not asked without it."""


class DeliverySettings(Section):
    """What is asked of every delivery before anything is fitted to it; [gate] delivery says which answers decide."""

    enabled: bool = True
    """Whether a delivery is looked at with each training."""
    missing: Share = 0.5
    """Most of its rows in which a feature may be missing (0 to 1)."""
    duplicates: Share = 0.05
    """Most of the training rows that may be copies of others (0 to 1)."""
    near_duplicates: Share = 0.01
    """Most of the test rows that may have a twin among the training rows (0 to 1)."""
    alone: Share = 0.95
    """Most that a feature may tell of the target by itself, on rows held out: of a class the share of avoidable errors
    avoided (λ), of a number R² (0 to 1)."""
    later_test: bool = False
    """Whether every test row must be later than every training row, by [data] time."""
    label_noise: Share = 0.1
    """Most of the labels that may be wrong, as estimated (0 to 1)."""
    class_rows: int = Field(20, ge=1)
    """Least training rows of each class (rows)."""
    drift_alpha: float = Field(0.01, gt=0, lt=0.5)
    """How often a delivery of the same population may be called different from the last one (0 to 0.5)."""
    personal: tuple[str, ...] = ()
    """Fields that stay as they come although they look personal."""
    rows: int = Field(20_000, ge=1000)
    """Most rows that leaks, wrong labels and drift are looked for in (rows)."""


class GateSettings(Section):
    """What a version must show before it may answer anybody."""

    floors: dict[str, float] = {}
    """Metric = worst value allowed on the test rows (for errors such as log_loss: the largest)."""
    not_worse_by: dict[str, float] = {"accuracy": 0.02}
    """Metric = how much worse than the champion it may be, paired, one-sided 95 % (regression: none;
    ranking: ndcg)."""
    segment_not_worse_by: dict[str, float] = {"accuracy": 0.10}
    """The same in each segment (regression: none; ranking: ndcg)."""
    golden_floors: dict[str, float] = {}
    """The same on the golden set ([data] golden); not asked without it."""
    worst_slice: WorstSliceSettings = WorstSliceSettings()
    beats: tuple[Literal["trivial", "simple"], ...] = ()
    """What it must be shown to beat in the primary metric: an answer that looks at nothing, a simple linear model.
    Both are always measured and told."""
    max_cost: float | None = None
    """Most that an answer may cost on average, by [decide] costs; told and not judged without it."""
    max_data_age_days: float | None = Field(None, gt=0)
    """Oldest that the newest training row may be, by [data] time (days); not asked without it."""
    licences: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Words of which the licence of each package that a version needs must hold one (`BSD`, `MIT`, `Apache`); not asked
    without them."""
    delivery: tuple[Annotated[DeliveryQuestion, Field(strict=False)], ...] = ()
    """Questions about the data ([delivery]) whose answers decide; the others are told."""
    results: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Results of other tests of the data: validation results of Great Expectations, `run_results.json` of dbt; a path
    or pattern each, of a pattern the newest. Each must be younger than the data and without a failure."""
    stress: dict[str, Share] = {}
    """Kind of stress = least share of the primary metric that must be kept at [stress] judged_at."""
    fairness: dict[str, Share] = {"selection_ratio": 0.8}
    """Measure = limit in each protected field: of `selection_ratio` the least (four fifths), of differences the most.
    Judged where [audit] favourable is declared."""
    max_calibration_error: Share | None = None
    """Largest expected calibration error of the calibrated confidence, by its interval; not asked without it."""
    compare_on: tuple[Literal["test", "recent", "golden", "stress", "recent_segments"], ...] = Field(
        ("test", "recent", "golden"), min_length=1
    )
    """Rows on which it is judged beside the champion: frozen test rows (and their segments), held-out traffic, the
    golden set, test rows under stress, segments of held-out traffic. What is not named is told."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """With how much confidence a version must be shown to be within those margins (one-sided, 0.5 to 1)."""
    max_seen_share: Share = 0.2
    """Most test rows that may say nearly the same as a training row, beyond as many training rows as do (share)."""
    reproducible: bool = False
    """Whether the same code, rows and seed, fitted again, must give the same answers; costs one more fit."""
    max_p99_ms: float = Field(100.0, gt=0)
    """Slowest 99th percentile of one row's answer, over HTTP by a server of its own (milliseconds)."""
    max_memory_mb: float | None = Field(None, gt=0)
    """Most memory that a worker takes for it, beyond one that serves nothing (MB); not asked without it."""
    max_bundle_mb: float = Field(500.0, gt=0)
    """Largest bundle (MB)."""


class LowTrustSettings(Section):
    """When an answer says `trust: low`."""

    unseen_share: Share = 0.5
    """At this share of words never seen in training, or more (0 to 1)."""
    confidence: Share = 0.4
    """Below this calibrated confidence (0 to 1; 0 never)."""
    unlike_training: bool = True
    """Where a row lies outside or far from the training data, or is in a script or language that it did not hold."""


class AbstainSettings(Section):
    """When an answer says `trust: abstain`."""

    confidence: Share = 0.2
    """Below this calibrated confidence (0 to 1; 0 never)."""


class AbstainInSettings(Section):
    """A segment in which the model abstains earlier."""

    segment: dict[str, str | bool] = Field(min_length=1)
    """Field = value, all of which must hold: `{ locale = "de-DE" }`; of a number with bins the bin: `"[0,3)"`."""
    confidence: Share
    """Below this calibrated confidence (0 to 1); of several segments the largest counts."""


class ConditionSettings(Section):
    """What must hold of a field."""

    min: float | None = None
    """Of a number: this or larger."""
    max: float | None = None
    """Of a number: this or smaller."""
    words: tuple[str, ...] = ()
    """Of a text: it has one of these words, in whatever case."""


class RuleSettings(Section):
    """An answer for rows of which all conditions hold."""

    when: dict[str, str | bool | int | float | tuple[str | bool | int | float, ...] | ConditionSettings] = Field(
        min_length=1
    )
    """Field = what must hold: a value, a list of values, `{ min, max }` or `{ words }`."""
    label: str | int | float
    """The answer."""


class FallbackSettings(Section):
    """What is answered when no model can answer."""

    to: FallbackTo | None = None
    """Who answers: the `label`, the first `rule` that holds, the `previous` champion, or a `human` (no label, and
    the record says that a person has to answer). Without it the label, if there is one."""
    label: str | int | float | None = None
    """The answer, also where no rule holds or the previous champion cannot answer either; without one, an error."""
    rules: tuple[RuleSettings, ...] = ()
    """In order: `[[serve.fallback.rules]]`."""


class SloSettings(Section):
    """What callers are promised. A budget of failures that burns too fast opens an incident."""

    availability: float | None = Field(None, ge=0.5, lt=1)
    """Share of calls that are answered, by a model and not by the fallback in its place (0.5 to 1, e.g. 0.999). What
    the contract refuses does not count: it is the caller's."""
    latency_ms: float | None = Field(None, gt=0)
    """An answered call that takes longer than this is slow (milliseconds)."""
    latency_share: float = Field(0.99, ge=0.5, lt=1)
    """Share of answered calls that are not slow (0.5 to 1), where `latency_ms` is set."""
    days: float = Field(30.0, ge=1, le=366)
    """Over how long the budget is counted (days)."""


class ExploreSettings(Section):
    """A share of the answers that is drawn at random, each with its chance written down."""

    share: Share = 0.0
    """Chance that a draw is made in the place of the model's answer (0 to 1); 0: never. What is shown of the others is
    what the model says."""
    how: How | None = None
    """From what: `uniform` (each allowed label alike; the default of classifiers) or `softmax` (by the model's
    probabilities); of rankings `swap` (one pair of neighbours among the first places changes places; the default),
    `shuffle` (the first places in any order) or `insert` (one candidate from below comes to one of the first
    places)."""
    labels: tuple[str, ...] = ()
    """Of classifiers: labels that may be drawn; none named: every class. What the model itself says may be another."""
    temperature: float = Field(1.0, gt=0, le=100)
    """Of softmax: above 1 evener, below 1 nearer to the model's favourite."""
    floor: float = Field(0.1, gt=0, le=1)
    """Of softmax: so much of the draws is even, so that no allowed label is out of reach (0 to 1)."""
    top: int = Field(5, ge=2, le=100)
    """Of rankings: among so many first places (places)."""
    hold_back: dict[str, tuple[str, ...]] = {}
    """Segments that are never explored: of a field with values (text, category, identifier) the values. Requests that
    a rollout holds back, or that it holds out, are not explored either."""


class ServeSettings(Section):
    """The prediction server."""

    host: str = Field("127.0.0.1", min_length=1)
    """Address to listen on; 127.0.0.1 is reached from this machine only."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    workers: int = Field(1, ge=1, le=64)
    """Worker processes."""
    durability: Durability = Durability.FSYNC
    """When a prediction counts as recorded; the answer goes out after that."""
    deadline_ms: float = Field(1000.0, gt=0)
    """A challenger slower than this is answered for by the champion (milliseconds)."""
    runner: Runners = Runners.AUTO
    """Which bundles run in a process of their own beside the worker; `auto`: those that are not compiled."""
    runner_python: str | None = None
    """Interpreter of another environment, for bundles whose recorded packages are not those of the server; a path,
    from the project's folder. It needs Mainstay and the model's libraries."""
    runner_memory_mb: int = Field(4000, ge=64)
    """A runner process that holds more memory is ended (MB)."""
    max_body_kb: int = Field(256, ge=1)
    """Largest request body (kB)."""
    max_bulk_mb: float = Field(64.0, gt=0)
    """Largest NDJSON body (MB)."""
    max_rows: int = Field(1000, ge=1)
    """Most instances in one request; NDJSON has no such limit (rows)."""
    cache_rows: int = Field(0, ge=0, le=10_000_000)
    """Answers kept for rows with the same inputs, so that the model is not asked again (rows); 0 keeps none. Worth it
    for a model that is slow and sees the same rows often."""
    explain_ms: float = Field(200.0, gt=0)
    """How long an explanation of a model that is not compiled may take (milliseconds): it is estimated, and more time
    makes it more certain."""
    ids: str | None = Field(None, pattern=r"^(redis|rediss|unix)://.+$")
    """Redis address (`redis://HOST:PORT/0`): an id sent again to another host gets the first answer too. Without it ids
    are known within each host."""
    ids_keep_hours: float = Field(24.0, gt=0)
    """How long Redis knows an id (hours)."""
    max_connections: int = Field(1000, ge=1)
    """Most open connections of one worker; the next one is turned away with 503."""
    max_wait_ms: float = Field(25.0, gt=0)
    """Requests that would wait longer than this to be begun get 503 before their body is decoded (milliseconds)."""
    rate_per_client: float = Field(0.0, ge=0)
    """Most requests a second of one client address where no key is asked for; 0: no limit. Each worker allows its
    share."""
    pickles: Literal["own", "never"] = "own"
    """Whether a version that does not compile may answer from its pickle: `own`, if this project's key signed it;
    `never` lets the gate refuse it."""
    slo: SloSettings = SloSettings()
    low_trust: LowTrustSettings = LowTrustSettings()
    abstain: AbstainSettings = AbstainSettings()
    abstain_in: tuple[AbstainInSettings, ...] = ()
    """Segments with a limit of their own: one `[[serve.abstain_in]]` for each."""
    on_abstain: OnAbstain = OnAbstain.ANSWER
    """What is answered when the model abstains: what it says (`answer`), or what the fallback says (`fallback`)."""
    fallback: FallbackSettings = FallbackSettings()
    explore: ExploreSettings = ExploreSettings()


class WebSettings(Section):
    """The control room."""

    host: str = Field("127.0.0.1", min_length=1)
    """Address to listen on."""
    port: int = Field(8081, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""


class FalsePagesSettings(Section):
    """The budget of false pages, over all fields, segments and moments."""

    expected: float = Field(1.0, gt=0)
    """Expected false pages in `days`, at most."""
    days: float = Field(30.0, gt=0)
    """Length of the budget (days)."""


class MaterialSettings(Section):
    """Shifts smaller than this page nobody."""

    number_sigma: float = Field(material.DEFAULT.number_sigma, ge=0)
    """Of a number's mean (standard deviations)."""
    category_share: Share = material.DEFAULT.category_share
    """Of a category's share (0 to 1)."""
    accuracy: Share = material.DEFAULT.accuracy
    """Of the estimated or measured accuracy (0 to 1)."""


class RewardSettings(Section):
    """One reward: a number that is logged as feedback of kind `reward` under this name."""

    floor: float | None = None
    """A mean that is for sure below this opens an incident, in the reward's own unit (0.05: five clicks in a hundred
    answers)."""
    absent: float | None = None
    """What an answer without this reward is worth, where it is only logged when it happens (0 for a click). Without it
    answers without one don't count."""
    wait_hours: float = Field(1.0, ge=0, le=48)
    """With `absent`: an answer is counted when it is so old (hours)."""


class WatchSettings(Section):
    """How the live traffic is watched."""

    false_pages: FalsePagesSettings = FalsePagesSettings()
    reference: str | None = None
    """What traffic is compared with: `test`, `out_of_fold`, or a snapshot id; without it, chosen in training."""
    material: MaterialSettings = MaterialSettings()
    season: Literal["auto", "off", "hour", "hour_weekday"] = "auto"
    """Traffic is compared with the reference of its own hour of day (UTC) and weekday, where reference rows carry a
    declared time; `auto` matches months too where the reference holds two years."""
    feedback_expected_hours: float = Field(24.0, gt=0)
    """Labels that come later than this are missed (hours)."""
    block_min_rows: int = Field(32, ge=1)
    """Evidence is updated after this many rows (rows) ..."""
    block_max_rows: int = Field(1000, ge=1)
    """... at most this many at once (rows) ..."""
    block_minutes: float = Field(10.0, gt=0)
    """... or when the oldest row has waited so long (minutes)."""
    rewards: dict[Annotated[str, Field(pattern=NAME_PATTERN)], RewardSettings] = {}
    """Rewards with a floor, by name: one `[watch.rewards.NAME]` for each."""
    gap_times: float = Field(3.0, ge=1)
    """Requests, labels or a client's requests are told as gone when nothing came for so many times the longest gap
    that earlier days had at that time."""
    max_age_days: float | None = Field(None, gt=0)
    """A version older than this, counted from its training, is told (days)."""
    skew_rows: int = Field(32, ge=0, le=1000)
    """So many served rows are computed again each hour, as training would (rows); 0: none."""
    heartbeat_s: float = Field(120.0, gt=0)
    """A loop whose last turn is older than this is told as dead by whoever still lives (seconds)."""


class AttachSettings(Section):
    """A service that answers elsewhere and is watched."""

    learn_requests: int = Field(500, ge=20, le=100_000)
    """So many of its first requests become the reference, where [data] names no reference rows (rows)."""
    prediction: str | None = None
    """Column of the reference rows with the service's answer; without it, only inputs are compared."""
    confidence: str | None = None
    """Column of the reference rows with the service's confidence in its answer (0 to 1)."""
    pii: dict[str, Pii] = {}
    """Fields that are hashed or dropped while the contract is still being learned; `hash` or `drop`, by name."""


class SourceSettings(Section):
    """Where fresh training rows are pulled from: records of the contract's fields and the target."""

    address: str = Field(min_length=1)
    """A path or pattern (`fresh/*.ndjson`, CSV too), an HTTP address that answers JSON, or a database's address."""
    query: str | None = None
    """Of a database: the query; `:after` in it is the high-water mark, or empty at first."""
    id: str = Field("id", min_length=1)
    """Their name of what identifies a record: each is kept once."""
    mark: str = Field("updated_at", min_length=1)
    """Their name of what records are ordered by (a time, a number); the next pull asks from the last one on."""
    deleted: str | None = None
    """Their name of what says that a record is gone."""
    items: str = "items"
    """Of an HTTP answer: where the list is."""
    next: str = "next"
    """Of an HTTP answer: where the next page is, an address or a cursor that is sent under the same name."""
    after: str = "after"
    """Name of the parameter that asks from a mark on."""
    rename: dict[str, str] = {}
    """Their name of a field = ours."""
    token_env: str | None = None
    """Environment variable with a bearer token."""
    every_minutes: float | None = Field(None, gt=0)
    """The loop pulls so often (minutes); without it only `mainstay pull` does."""
    requests_per_s: float = Field(5.0, gt=0)
    """Most requests in a second (1 / seconds)."""
    timeout_s: float = Field(10.0, gt=0)
    """Longest wait for an answer (seconds)."""
    attempts: int = Field(6, ge=1, le=20)
    """Tries for a page, with growing rests between them; a server's Retry-After is kept."""
    allow_private: bool = False
    """Whether the address may lead into a private network."""
    max_bad_share: Share = 0.05
    """Where more of a page's records than this cannot be used, the delivery is held and nothing is trained (0 to 1)."""
    checks: tuple[DeliveryQuestion, ...] = (
        DeliveryQuestion.SCHEMA,
        DeliveryQuestion.DUPLICATES,
        DeliveryQuestion.LEAKAGE,
        DeliveryQuestion.LABEL_NOISE,
        DeliveryQuestion.PERSONAL,
    )
    """Of the questions to every delivery (docs/data-checks.md) those whose failing holds what was pulled, too; empty:
    none. `drift` would hold what a changed world delivers, which is what retraining is for."""


class RetrainSettings(Section):
    """When and how a new version is trained by itself."""

    on: tuple[Annotated[str, Field(pattern=TRIGGER_PATTERN)], ...] = ()
    """What starts it: `incident:quality` (or another harm), `reward:click` (its floor is not kept),
    `quality:accuracy:0.85` (labels show less for sure; `mae`, `rmse`: more), `rows:5000` new labels, `age:30` (days),
    `schedule:0 3 * * 1` (cron). None: only by hand. While a field is broken nothing is trained, and its rows are left
    out for ever, unless `incident:data_fault` is named here."""
    time_zone: str = "UTC"
    """Time zone of schedules, as IANA names it (`Europe/Berlin`)."""
    online: bool = False
    """Whether the model goes on learning from labels as they come (River, or `partial_fit`): instead of a training
    anew, what it has learned since is offered. Without `on` every `min_labels` labels ask for that."""
    online_batch: int = Field(50, ge=1)
    """Labels that an online learner takes at once, those that it passes over among them (rows)."""
    pipelines: tuple[str, ...] = ()
    """Pipelines that are compared; the best is offered. None given: the pipeline of [train]."""
    min_labels: int = Field(150, ge=1)
    """Labels of live traffic that must be there (rows)."""
    cooldown_hours: float = Field(6.0, ge=0)
    """Rest after a training (hours)."""
    max_per_day: int = Field(4, ge=1)
    """Trainings in 24 hours, at most."""
    max_labels_per_key: int = Field(20, ge=1)
    """Labels of one key that count, so that nobody alone turns the model (rows)."""
    recent_share: float = Field(0.3, gt=0, lt=1)
    """Part of the labelled traffic that is held out to compare on (0 to 1)."""
    window_days: float | None = Field(None, gt=0)
    """Only requests of so many days are learned from (days); without it all, and the project's own rows."""
    replay_share: float = Field(0.2, ge=0)
    """With `window_days`: rows before it that are learned from too, of each class as many as there are, for each row
    in it."""
    mature_hours: float = Field(0.0, ge=0)
    """Requests younger than this are not learned from: of them only what is labelled quickly is known (hours)."""
    sources: dict[Annotated[str, Field(pattern=NAME_PATTERN)], SourceSettings] = {}
    """Where fresh labelled rows are pulled from: one `[retrain.sources.NAME]` for each."""
    max_failures: int = Field(3, ge=1)
    """After so many versions in a row that were trained by themselves and failed, a person trains the next."""
    max_flip_share: Share | None = None
    """Largest part of an answer's newest labels that may suddenly be one other class (0 to 1); more waits for a person.
    Not asked without it."""
    trusted: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Who labels (`by`) are believed: where they label what others labelled too, the others are held against them."""
    min_agreement: Share | None = None
    """Least share of labels that the trusted agree with (0 to 1); surely less, and nothing is learned. Needs
    `trusted`."""
    min_groups: int | None = Field(None, ge=1)
    """Of rankings: groups with better and worse candidates that must be there; the others tell no order. Not asked
    without it."""
    max_indiscriminate_share: Share | None = None
    """Of rankings: largest part of the labels that may come from keys which find nearly everything relevant (0 to 1).
    Not asked without it."""
    explored: Literal["as_they_are", "weigh"] = "as_they_are"
    """Labels of answers that could have been drawn at random: each counts alike, or by one over the chance with which
    its answer was given, so that they speak for all requests where only some answers get labels."""
    max_label_noise: Share | None = None
    """Most labels that models which did not see them may find wrong, beyond what they find among the project's own rows
    (0 to 1); surely more, and the gate refuses. Not asked without it."""
    suspects: Literal["keep", "leave_out"] = "keep"
    """Labels that such models find wrong, and all of keys that are wrong too often: learned from, or left out."""


class RewardGuardSettings(Section):
    """What a rollout asks of one reward: a number that is logged as feedback of kind `reward` under this name."""

    margin: float | None = Field(None, ge=0)
    """How much lower than the champion's its mean may be (in the reward's own unit)."""
    gain: float | None = Field(None, ge=0)
    """How much higher it must be for the challenger to win, as in an A/B test (in the reward's own unit; 0: higher)."""
    low: float | None = None
    """With `high`: its range. What lies beyond counts as these, and nothing else is assumed of it (winsorised)."""
    high: float | None = None
    """See `low`. Without a range the mean is taken to be nearly normal once 30 keys of each side carry its spread."""


class GuardSettings(Section):
    """What stops a rollout."""

    error_rate: Share = 0.01
    """Share of challenger answers that may fail (0 to 1; 1: not asked)."""
    error_rate_difference: Share | None = None
    """How much more often than the champion it may fail, on the same requests (0 to 1)."""
    error_rate_ratio: float | None = Field(None, ge=1, le=1000)
    """How many times as often as the champion it may fail, on the same requests."""
    latency_p99_ratio: float = Field(1.5, gt=0)
    """Challenger's 99th percentile over the champion's, and its median over the champion's."""
    latency_ratio: dict[Annotated[str, Field(pattern=QUANTILE_PATTERN)], Annotated[float, Field(gt=0)]] = {}
    """Other percentiles by name (`p50`, `p90`, `p99.9`): challenger's over champion's."""
    latency_ms: dict[Annotated[str, Field(pattern=QUANTILE_PATTERN)], Annotated[float, Field(gt=0)]] = {}
    """Percentiles by name: how long the challenger's calls may take (milliseconds)."""
    latency_floor_ms: float = Field(25.0, ge=0)
    """A call that takes so little longer than the champion's is never too slow (milliseconds)."""
    accuracy_margin: float | None = Field(None, gt=0, le=1)
    """How much worse than the champion it may be on labelled traffic (0 to 1). If set, each step waits for proof."""
    loss_margin: float | None = Field(None, gt=0)
    """Of a regression: how much larger than the champion's its mean absolute error may be (unit of the target)."""
    loss_cap: float | None = Field(None, gt=0)
    """Of a regression: one error counts at most so much (unit of the target); with `loss_margin` or `mean_score`."""
    abstain_rate: Share = 0.05
    """How much more often than the champion it may be unsure (0 to 1; 1: not asked)."""
    abstain_rate_ratio: float | None = Field(None, ge=1, le=1000)
    """How many times as often as the champion it may be unsure, on the same requests."""
    disagreement: Share | None = None
    """Share of the requests on which its answer may be another than the champion's (0 to 1)."""
    differs_by: float | None = Field(None, ge=0)
    """Of a regression: answers differ when they lie farther apart than this (unit of the target)."""
    class_mix: Share | None = None
    """Total variation that may lie between its class mix and the champion's on the same requests (0 to 1)."""
    mean_score: float | None = Field(None, gt=0)
    """How far its mean confidence (of a regression: its mean answer) may lie from the champion's, either way."""
    rewards: dict[Annotated[str, Field(pattern=NAME_PATTERN)], RewardGuardSettings] = {}
    """Rewards that are judged, by name: one `[rollout.guards.rewards.NAME]` for each."""
    segments: Literal["told", "veto", "prove"] = "told"
    """Declared segments, each by the limits above: only told; or one that is shown to be harmed stops the rollout; or
    each must also be shown to be well before the next step."""
    segment_min_share: Share = 0.05
    """With `prove`: a segment with a smaller part of the requests stands in nobody's way, and is told (0 to 1)."""
    prove: tuple[GuardName, ...] = PROVEN
    """Guards that must be shown to be kept before the next step; the others stop a rollout only when shown to be
    broken."""


class RolloutSettings(Section):
    """How a version is brought to all users."""

    plan: Plan = Plan.CANARY
    """shadow only compares; canary goes up `steps`; ab splits the keys until the reward decides; blue_green flips once
    after comparing, the old one kept warm; all_at_once compares nothing and wants `unjudged`."""
    steps: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field((5.0, 10.0, 25.0, 50.0, 100.0), min_length=1)
    """Shares of the keys, ascending to 100 (percent)."""
    split: float = Field(50.0, gt=0, lt=100)
    """Of plan ab: the share of the keys that the new version answers until the reward decides (percent)."""
    start: Literal["auto", "by_hand"] = "auto"
    """by_hand: a version that passed its gate waits for `mainstay rollout start`."""
    holdout: float = Field(0.0, ge=0, le=50)
    """Share of the keys that stays with the old version through a rollout and after it, for measurement (percent)."""
    holdout_hours: float = Field(168.0, gt=0)
    """How long after all others have the new version they stay; the next rollout ends it too (hours)."""
    hold_back: dict[str, tuple[str, ...]] = {}
    """Fields and their values: rows with one of these are left out of a ramp until it is over."""
    guards: GuardSettings = GuardSettings()
    alpha: float = Field(0.01, gt=0, lt=0.5)
    """Chance that a good version is stopped, over the whole rollout (0 to 0.5)."""
    hold_after_hours: float = Field(48.0, gt=0)
    """Not enough evidence for so long at one step: a person decides (hours)."""
    probation_hours: float = Field(24.0, ge=0)
    """How long the new version can still be rolled back by itself (hours)."""
    unjudged: bool = False
    """Allows plan all_at_once, which brings a version to everybody with nothing compared."""
    approval: Literal["none", "one", "two"] = "none"
    """How many people must agree before the first step, each with the digest of the evidence that they saw."""
    shadow_min_units: int = Field(50, ge=1)
    """Distinct requests that both sides must have answered before the first step."""
    step_min_units: int = Field(20, ge=1)
    """Distinct requests that the challenger must have answered in a step."""
    lease_s: float = Field(300.0, gt=0)
    """If nobody judges for so long, the champion answers everybody again (seconds)."""


class CostSourceSettings(Section):
    """A source that is asked for each row and paid by the call: a feature store, a geocoder, another model."""

    call: float = Field(ge=0)
    """Price of one call."""
    calls_per_row: float = Field(1.0, ge=0)
    """Calls that one computed row makes."""


class CostSettings(Section):
    """What the machine and its sources cost: `mainstay cost` multiplies it with what each version used."""

    currency: str = ""
    """Its name, as it is to be shown."""
    cpu_hour: float = Field(0.0, ge=0)
    """Price of an hour of one processor."""
    memory_gb_hour: float = Field(0.0, ge=0)
    """Price of a GB of memory for an hour."""
    gpu_hour: float = Field(0.0, ge=0)
    """Price of an hour of one GPU."""
    sources: dict[Annotated[str, Field(pattern=NAME_PATTERN)], CostSourceSettings] = {}
    """Sources that are paid by the call: one `[cost.sources.NAME]` for each."""

    @property
    def prices(self) -> Prices:
        """Return what is declared, as prices."""
        return Prices(
            cpu_hour=self.cpu_hour,
            memory_gb_hour=self.memory_gb_hour,
            gpu_hour=self.gpu_hour,
            sources={name: (one.call, one.calls_per_row) for name, one in self.sources.items()},
        )


class AlertSettings(Section):
    """One place where alerts go."""

    to: str = Field(min_length=1)
    """Address; `log://` is the loop's own log."""
    min_severity: Severity = Severity.WATCH
    """Quieter ones are not sent there."""


class StoreSettings(Section):
    """Where the control state lives."""

    url: str = "sqlite:///.mainstay"
    """Database address; `sqlite:///FOLDER` is a file in that folder of the project. A database is one project's: two
    projects in one would wait for each other's loop."""


class RegistrySettings(Section):
    """Where MLflow keeps runs and versions."""

    url: str = "sqlite:///.mainstay/mlflow.db"
    """MLflow tracking address."""


class LoopSettings(Section):
    """The controller."""

    interval_s: float = Field(1.0, gt=0)
    """Rest between two turns (seconds)."""


class LogSettings(Section):
    """The journal of predictions, and how processes write their own logs."""

    format: LogFormat = LogFormat.TEXT
    """How serve, its workers, loop and web write their logs: lines for people (`text`), or one JSON object a line."""

    keep_days: float | None = Field(None, gt=0)
    """Sealed segments whose newest day is older than this are deleted by the loop (days); without it nothing is."""
    max_gb: float | None = Field(None, gt=0)
    """While all records together are larger than this, the oldest sealed segments are deleted by the loop (GB)."""
    segment_mb: int = Field(16, ge=1, le=1024)
    """Size of one segment file (MB)."""


class TelemetrySettings(Section):
    """OpenTelemetry spans of requests that callers trace (`pip install 'mainstay[telemetry]'`)."""

    endpoint: str | None = Field(None, pattern=r"^https?://.+$")
    """Address of a collector that takes OTLP over HTTP, e.g. `http://127.0.0.1:4318`. Without it the variable
    `OTEL_EXPORTER_OTLP_ENDPOINT` says where, and without that no spans are made."""
    service: str = Field("mainstay", min_length=1)
    """Name of the service in traces, unless `OTEL_SERVICE_NAME` says another."""


class Settings(Section):
    """Everything that mainstay.toml may say."""

    mainstay: Literal[1] = 1
    """Schema of this file."""
    project: ProjectSettings = ProjectSettings()
    data: DataSettings = DataSettings()
    fields: dict[str, FieldSettings] = {}
    """The contract: one table for each field."""
    target: TargetSettings = TargetSettings()
    features: FeaturesSettings = FeaturesSettings()
    train: TrainSettings = TrainSettings()
    decide: DecideSettings = DecideSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    stress: StressSettings = StressSettings()
    audit: AuditSettings = AuditSettings()
    card: CardSettings = CardSettings()
    delivery: DeliverySettings = DeliverySettings()
    gate: GateSettings = GateSettings()
    serve: ServeSettings = ServeSettings()
    web: WebSettings = WebSettings()
    watch: WatchSettings = WatchSettings()
    attach: AttachSettings = AttachSettings()
    retrain: RetrainSettings = RetrainSettings()
    rollout: RolloutSettings = RolloutSettings()
    cost: CostSettings = CostSettings()
    alerts: tuple[AlertSettings, ...] = ()
    """Where alerts go: one `[[alerts]]` for each place."""
    store: StoreSettings = StoreSettings()
    registry: RegistrySettings = RegistrySettings()
    loop: LoopSettings = LoopSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
