"""How our attributions agree with the `shap` library's: `pip install shap`, then `python bench/shap_agreement.py`.

Models of the breast cancer data that scikit-learn carries, its first ten columns: compiled ones (`linear`, `tree_shap`)
beside shap's LinearExplainer and TreeExplainer, and one that is not compiled (`permutation`) beside shap's
ExactExplainer, which asks for all 1,024 coalitions. It measures and is no test; its figures stand in docs/trust.md.
Nothing else needs shap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import shap
from explanations import Values, loaded
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.models.explained.explain import Explainer
from mainstay.models.explained.plain_rows import usual_row
from mainstay.models.inputs import Form, InputSpec

Floats = NDArray[np.float64]
ROWS = 100
FIELDS = 10
CLASSES = ("benign", "malignant")


def told(model: Any, rows: Values, **asked: Any) -> tuple[Floats, str, float, Floats]:
    """Return what each field adds to `malignant`, shape (n, d), by which method, its standard error, and the base."""
    explainer, parts, errors, base, method = Explainer(model), [], [], [], ""
    for row in rows:
        one = explainer.explain(row, label=CLASSES[1], top=FIELDS, **asked)
        added = {part.field: part for part in one.fields}
        parts.append([added[name].contribution if name in added else 0.0 for name in row])
        errors += [part.standard_error for part in one.fields if part.standard_error is not None]
        base.append(one.base_value)
        method = one.method
    return np.array(parts), method, float(np.mean(errors)) if errors else 0.0, np.array(base)


def tell(name: str, mine: tuple[Floats, str, float, Floats], theirs: Floats) -> None:
    """Print how far the two are apart, in the unit of the explanation, and how alike they order the parts."""
    parts, method, error, _ = mine
    rank = spearmanr(parts.ravel(), theirs.ravel()).statistic
    first = np.mean(np.abs(parts).argmax(axis=1) == np.abs(theirs).argmax(axis=1))
    print(
        f"{name:42} {method:11} largest difference {np.abs(parts - theirs).max():.2g} (contributions up to "
        f"{np.abs(theirs).max():.3g}), rank correlation {rank:.3f}, same leading field {first:.0%}, "
        f"stated error {error:.2g}"
    )


def main() -> None:
    """Fit, explain and compare."""
    x, y = load_breast_cancer(return_X_y=True)
    x, y = x[:, :FIELDS], np.array(CLASSES)[1 - y]
    x, held, y, _ = train_test_split(x, y, random_state=0)
    held = held[:ROWS]
    names = [f"x{number}" for number in range(FIELDS)]
    fields = tuple(Field(name=name, type=FieldType.NUMBER) for name in names)
    contract = Contract(task=Task.BINARY, fields=fields, target="y", classes=CLASSES)
    spec = InputSpec(form=Form.ARRAY)
    values, asked = ([dict(zip(names, row, strict=True)) for row in rows.tolist()] for rows in (x, held))
    made: Callable[[Any], Any] = lambda estimator: loaded(estimator, contract, spec, values)  # noqa: E731

    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    scaled = linear[0].transform(x)
    masker = shap.maskers.Independent(scaled, max_samples=len(scaled))
    tell(
        "logistic regression",
        told(made(linear), asked),
        shap.LinearExplainer(linear[1], masker)(linear[0].transform(held)).values,
    )

    for bootstrap in (False, True):
        forest = RandomForestClassifier(100, bootstrap=bootstrap, random_state=0).fit(x, y)
        exact = shap.TreeExplainer(forest, feature_perturbation="tree_path_dependent").shap_values(held)[:, :, 1]
        tell(f"random forest of 100, bootstrap={bootstrap}", told(made(forest), asked), exact)

    boosting = GradientBoostingClassifier(random_state=0).fit(x, y)
    exact = shap.TreeExplainer(boosting, feature_perturbation="tree_path_dependent").shap_values(held)
    tell("gradient boosting, 100 trees of depth 3", told(made(boosting), asked), exact)

    near = make_pipeline(StandardScaler(), KNeighborsClassifier(15)).fit(x, y)
    model = made(near)
    usual = usual_row(contract, model.profile)
    background = np.array([[usual[name] for name in names]])
    exact = shap.ExactExplainer(lambda rows: near.predict_proba(rows)[:, 1], background)(held[:10]).values
    tell("nearest neighbours (10 rows)", told(model, asked[:10], budget_s=60.0), exact)


if __name__ == "__main__":
    main()
