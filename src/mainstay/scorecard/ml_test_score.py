"""The ML Test Score (Breck, Cai, Nielsen, Salib, Sculley 2017): 28 tests in four sections, each 0, ½ or 1.

½ is done by hand with results kept, 1 is done by itself again and again (section II of the paper). Here only what is
held counts: a check that passed, a setting that is enforced, or a process that runs now. What was found about a version
counts 90 days from its training, what the watch says as long as the watch can be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mainstay.config.settings import Plan
from mainstay.core.contracts import Field, FieldType, Pii, Role
from mainstay.scorecard.evidence import FRESH, HOLDS, Known
from mainstay.scorecard.records import Scored, Section

Said = tuple[float, str, datetime | None]
"""Score, evidence, and when that is too old."""
_PERSONAL = (FieldType.IDENTIFIER,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One published test and how it is scored."""

    test: str
    link: str
    ask: Callable[[Known], Said]


def score(known: Known) -> tuple[Scored, ...]:
    """Return all 28 tests, scored."""
    found = []
    for section, tests in TESTS.items():
        for number, one in enumerate(tests, start=1):
            points, evidence, expires = one.ask(known)
            found.append(
                Scored(
                    section=section,
                    number=number,
                    test=one.test,
                    score=points,
                    evidence=evidence,
                    link=one.link,
                    expires=expires,
                )
            )
    return tuple(found)


def _of_version(known: Known, points: float, evidence: str) -> Said:
    """Return what a version shows; too old, it shows nothing."""
    if known.release is None:
        return 0.0, "there is no version yet", None
    if not known.version_counts:
        return 0.0, f"{known.release.name} was trained more than {HOLDS.days} days ago: {evidence}", known.until
    return points, evidence, known.until


def _of_check(known: Known, name: str, *, less: float = 0.0) -> Said:
    """Return 1 where a check of the gate passed, `less` where it was asked and did not judge, 0 where it failed."""
    found = known.check(name)
    if known.passed(name):
        return _of_version(known, 1.0, f"{name}: {known.why(name)}")
    told = found is not None and not found.get("applies", True)
    return _of_version(known, less if told else 0.0, f"{name}: {known.why(name)}")


def _of_watch(known: Known, points: float, evidence: str) -> Said:
    """Return what the watch looks at; nothing where the watch itself cannot be believed."""
    if not known.watched:
        return 0.0, f"{evidence}, but the watch cannot be believed now: {known.why_unwatched}", None
    return points, evidence, known.at + FRESH


# data


def _limited(field: Field) -> bool:
    return bool(field.values or field.type in (FieldType.BOOLEAN, FieldType.TIMESTAMP)) or any(
        limit is not None for limit in (field.min, field.max, field.max_chars)
    )


def _schema(known: Known) -> Said:
    fields = known.contract.features
    bare = [f.name for f in fields if not _limited(f)]
    if not fields:
        return 0.0, "the contract declares no feature", None
    if bare:
        some = ", ".join(bare[:3])
        return (
            0.5,
            f"{len(fields) - len(bare)} of {len(fields)} features have limits beside their type; not {some}",
            None,
        )
    return 1.0, f"all {len(fields)} features have a type and limits, enforced in training and at each request", None


def _beneficial(known: Known) -> Said:
    fields = [one for one in (known.evaluation.get("importance") or {}).get("fields", ()) if one["worth"] is not None]
    if not fields:
        return _of_version(known, 0.0, "no feature's worth was measured")
    idle = [one["field"] for one in fields if one["low"] is None or one["low"] <= 0]
    if idle:
        shown = f"{len(fields) - len(idle)} of {len(fields)} features are shown to be worth something"
        return _of_version(known, 0.5, f"{shown}; not {', '.join(idle[:3])}")
    return _of_version(known, 1.0, f"all {len(fields)} features are worth something: shuffled, each costs the metric")


def _cost(known: Known) -> Said:
    priced = known.status.cost is not None and known.status.cost.priced
    if not priced:
        return 0.0, "no price is declared in [cost]", None
    return 0.5, "prices are declared and each version's use is measured; not per feature", None


def _requirements(known: Known) -> Said:
    protected = [f.name for f in known.contract.with_role(Role.PROTECTED)]
    seen = [name for name in protected if name in {f.name for f in known.contract.features}]
    if protected and not seen:
        return 1.0, f"protected fields ({', '.join(protected)}) are declared, and no model sees them", None
    if seen:
        return 0.5, f"{', '.join(seen)} is protected and a feature: audited, not kept out", None
    return 0.0, "no field is declared as protected: nothing says what a model must not see", None


def _privacy(known: Known) -> Said:
    bare = [f.name for f in known.contract.fields if f.type in _PERSONAL and f.pii is Pii.KEEP]
    kept = [f.name for f in known.contract.fields if f.pii is not Pii.KEEP]
    if bare:
        return 0.0, f"identifiers are kept as they are: {', '.join(bare)} (`pii`)", None
    if kept:
        return 1.0, f"personal fields are hashed, dropped or encrypted before they are written: {', '.join(kept)}", None
    return 0.5, "no field is declared as personal, and none is an identifier", None


def _quickly(_known: Known) -> Said:
    return 0.0, "how long a new feature takes from idea to production is not measured", None


def _feature_code(known: Known) -> Said:
    points, evidence, until = _of_check(known, "row_independence")
    if not known.has_features:
        return points, f"there is no feature code; {evidence}", until
    return (
        min(points, 0.5),
        f"feature code gives a row the same in any company; its own tests are not seen ({evidence})",
        until,
    )


# model


def _reviewed(known: Known) -> Said:
    commit = "" if known.release is None else known.release.commit
    if not commit:
        return _of_version(known, 0.0, "no commit is recorded")
    if commit.endswith("+"):
        return _of_version(known, 0.0, f"trained from files that differ from commit {commit[:12]}")
    return _of_version(known, 0.5, f"trained from commit {commit[:12]}; whether somebody reviewed it is not seen")


def _correlate(known: Known) -> Said:
    quality = known.status.quality
    if quality.held_out is None or quality.real is None:
        return 0.0, "no label came for what was answered: offline and online quality stand nowhere side by side", None
    text = f"held out {quality.held_out.value:.3f}, on {quality.real.n} labels of traffic {quality.real.value:.3f}"
    return 0.5, f"{text}; of one version, so that no relation shows", known.at + FRESH


def _tuned(known: Known) -> Said:
    choice = str(known.facts.get("choice") or "")
    if choice:
        return _of_version(known, 0.5, f"pipelines were compared, hyperparameters were not searched: {choice}")
    return _of_version(known, 0.0, "nothing was compared or searched")


def _staleness(known: Known) -> Said:
    days = known.settings.watch.max_age_days
    if days is None:
        return 0.0, "no [watch] max_age_days: nobody said how old a model may become", None
    return 0.5, f"a model older than {days:g} days is an incident; what age costs is not measured", None


def _simpler(known: Known) -> Said:
    found = known.evaluation.get("beats")
    if found is None:
        return _of_version(known, 0.0, "no simpler model was held beside it")
    simple = found["simple"]
    if simple["low"] is None:
        return _of_version(known, 0.0, f"no simple model could be compared: {simple.get('why_not', '')}")
    text = f"a simple linear model has {found['metric']} {simple['value']:.3f}, this one {simple['gain']:+.3f}"
    better = simple["low"] > 0
    return _of_version(known, 1.0 if better else 0.5, text if better else f"{text}: it is not shown to be better")


def _slices(known: Known) -> Said:
    if known.passed("segments"):
        return _of_check(known, "segments")
    told = known.evaluation.get("slices") or {}
    points = 0.5 if told else 0.0
    return _of_version(known, points, f"{len(told)} segments are measured, none is judged ({known.why('segments')})")


def _inclusion(known: Known) -> Said:
    return _of_check(known, "fairness", less=0.5 if known.evaluation.get("audit") else 0.0)


# infrastructure


def _reproducible(known: Known) -> Said:
    if known.reproduced is not None and known.at < known.reproduced + HOLDS:
        return 1.0, f"a version was trained again and came out on {known.reproduced:%Y-%m-%d}", known.reproduced + HOLDS
    text = "snapshots, code, seed and packages are in the lineage; nobody trained again: mainstay reproduce"
    return _of_version(known, 0.5, text)


def _unit_tests(known: Known) -> Said:
    return _of_check(known, "behaviour_tests")


def _integration(known: Known) -> Said:
    trial = known.facts.get("trial")
    if not trial:
        return _of_version(known, 0.0, "no version went the whole way from data to a real server")
    return _of_version(known, 1.0 if trial["verdict"] == "pass" else 0.0, f"real_server: {trial['reason']}")


def _before_serving(known: Known) -> Said:
    return _of_check(known, "floors")


def _debuggable(known: Known) -> Said:
    if known.release is None:
        return 0.0, "there is no version yet", None
    return 1.0, "mainstay explain ID and mainstay replay ID take any journalled answer apart", None


def _canary(known: Known) -> Said:
    plan = known.settings.rollout.plan
    if plan is Plan.ALL_AT_ONCE:
        return 0.0, "[rollout] plan = all_at_once", None
    return 1.0, f"[rollout] plan = {plan.value}: a version is compared before it answers", None


def _rollback(known: Known) -> Said:
    previous = "" if known.status.answering is None else known.status.answering.previous
    if previous:
        return 1.0, f"the way back leads to {previous}", None
    return 0.5, "there is a way back, and no version before this one yet", None


# monitoring


def _dependencies(known: Known) -> Said:
    if known.settings.alerts:
        return 0.0, "alerts are declared; a changed upstream is seen in its values alone, no announcement is read", None
    return 0.0, "no announcement of a changed upstream is read", None


def _invariants(known: Known) -> Said:
    return _of_watch(known, 1.0, "requests that break the contract are refused and counted, inputs are watched")


def _skew(known: Known) -> Said:
    rows = known.settings.watch.skew_rows
    if not rows:
        return 0.0, "[watch] skew_rows = 0", None
    return _of_watch(known, 1.0, f"{rows} served rows are computed again each hour, as training would")


def _age(known: Known) -> Said:
    days = known.settings.watch.max_age_days
    if days is None:
        return 0.0, "no [watch] max_age_days: age is shown and never told", None
    return _of_watch(known, 1.0, f"a model older than {days:g} days is an incident")


def _stable(known: Known) -> Said:
    return _of_check(known, "finite_output")


def _performance(known: Known) -> Said:
    return _of_watch(known, 1.0, "latency, throughput, errors and memory are watched")


def _served_quality(known: Known) -> Said:
    quality = known.status.quality
    if quality.real is not None:
        return _of_watch(known, 1.0, f"{quality.real.n} labels of traffic say {quality.real.value:.3f}")
    if quality.estimated is not None:
        return _of_watch(known, 0.5, f"estimated without labels: {quality.estimated.value:.3f}; no label came")
    return 0.0, "nothing is known of the quality of served answers", None


TESTS: dict[Section, Sequence[Test]] = {
    Section.DATA: (
        Test(test="Feature expectations are captured in a schema", link="docs/concepts.md", ask=_schema),
        Test(test="All features are beneficial", link="docs/trust.md", ask=_beneficial),
        Test(test="No feature's cost is too much", link="docs/operations.md", ask=_cost),
        Test(test="Features adhere to meta-level requirements", link="docs/audit.md", ask=_requirements),
        Test(test="The data pipeline has appropriate privacy controls", link="docs/privacy.md", ask=_privacy),
        Test(test="New features can be added quickly", link="docs/concepts.md", ask=_quickly),
        Test(test="All input feature code is tested", link="docs/replay.md", ask=_feature_code),
    ),
    Section.MODEL: (
        Test(test="Model specs are reviewed and submitted", link="docs/concepts.md", ask=_reviewed),
        Test(test="Offline and online metrics correlate", link="docs/quality.md", ask=_correlate),
        Test(test="All hyperparameters have been tuned", link="docs/configuration.md", ask=_tuned),
        Test(test="The impact of model staleness is known", link="docs/operations.md", ask=_staleness),
        Test(test="A simpler model is not better", link="docs/gate.md", ask=_simpler),
        Test(test="Model quality is sufficient on important data slices", link="docs/gate.md", ask=_slices),
        Test(test="The model is tested for considerations of inclusion", link="docs/audit.md", ask=_inclusion),
    ),
    Section.INFRASTRUCTURE: (
        Test(test="Training is reproducible", link="docs/replay.md", ask=_reproducible),
        Test(test="Model specs are unit tested", link="docs/behaviour.md", ask=_unit_tests),
        Test(test="The ML pipeline is integration tested", link="docs/gate.md", ask=_integration),
        Test(test="Model quality is validated before serving", link="docs/gate.md", ask=_before_serving),
        Test(test="The model is debuggable", link="docs/replay.md", ask=_debuggable),
        Test(test="Models are canaried before serving", link="docs/concepts.md", ask=_canary),
        Test(test="Serving models can be rolled back", link="docs/concepts.md", ask=_rollback),
    ),
    Section.MONITORING: (
        Test(test="Dependency changes result in notification", link="docs/incidents.md", ask=_dependencies),
        Test(test="Data invariants hold for inputs", link="docs/signals.md", ask=_invariants),
        Test(test="Training and serving are not skewed", link="docs/operations.md", ask=_skew),
        Test(test="Models are not too stale", link="docs/operations.md", ask=_age),
        Test(test="Models are numerically stable", link="docs/gate.md", ask=_stable),
        Test(test="Computing performance has not regressed", link="docs/operations.md", ask=_performance),
        Test(test="Prediction quality has not regressed", link="docs/quality.md", ask=_served_quality),
    ),
}
"""As published, in their order."""
