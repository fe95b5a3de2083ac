"""Tree ensembles of scikit-learn, XGBoost and LightGBM as arrays of nodes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from mainstay.models.compiled.heads import Link
from mainstay.models.compiled.known import NotKnown, is_a
from mainstay.models.compiled.program_file import Described

MOST_NODES = 4_000_000
"""Of all trees together; a larger forest is left to its library."""


def describe(head: Any, width: int) -> tuple[Described, list[str]]:
    """Return an ensemble's description and its possible links, or raise NotKnown."""
    if is_a(head, "sklearn.ensemble", "GradientBoostingClassifier", "GradientBoostingRegressor"):
        return _boosted(head, width)
    if is_a(head, "sklearn.ensemble", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
        return _histogram(head)
    names = ("RandomForestClassifier", "ExtraTreesClassifier", "RandomForestRegressor", "ExtraTreesRegressor")
    if is_a(head, "sklearn.ensemble", *names):
        return _averaged(list(head.estimators_), head)
    if is_a(head, "sklearn.tree", "DecisionTreeClassifier", "DecisionTreeRegressor"):
        return _averaged([head], head)
    if is_a(head, "xgboost", "XGBClassifier", "XGBRegressor", "XGBRanker"):
        return _xgboost(head)
    if is_a(head, "lightgbm", "LGBMClassifier", "LGBMRegressor", "LGBMRanker"):
        return _lightgbm(head)
    raise NotKnown(type(head).__name__)


def _described(
    trees: list[Described],
    start: Any,
    *,
    narrow: bool,
    refuses_missing: bool = False,
    sums_in_32_bits: bool = False,
) -> Described:
    nodes = sum(len(tree["feature"]) for tree in trees)
    if not trees or nodes > MOST_NODES:
        raise NotKnown(f"a forest of {nodes} nodes; at most {MOST_NODES} are compiled")
    return {
        "kind": "trees",
        "trees": trees,
        "start": np.array(start, dtype=np.float64),
        "narrow": narrow,
        "refuses_missing": refuses_missing,
        "sums_in_32_bits": sums_in_32_bits,
    }


def _tree(feature: Any, threshold: Any, left: Any, right: Any, values: Any, missing_left: Any) -> Described:
    """Return the arrays of one tree, its leaves leading to themselves."""
    here = np.arange(len(feature))
    is_leaf = np.asarray(left) == np.asarray(right)
    return {
        "feature": np.where(is_leaf, 0, np.asarray(feature)).astype(np.int64),
        "threshold": np.where(is_leaf, np.inf, np.asarray(threshold, dtype=np.float64)),
        "left": np.where(is_leaf, here, np.asarray(left)).astype(np.int64),
        "right": np.where(is_leaf, here, np.asarray(right)).astype(np.int64),
        "values": np.ascontiguousarray(values, dtype=np.float64),
        "missing_left": np.asarray(missing_left, dtype=np.bool_),
    }


def _sklearn_tree(tree: Any, values: Any) -> Described:
    return _tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, values, tree.missing_go_to_left)


def _averaged(fitted: list[Any], head: Any) -> tuple[Described, list[str]]:
    classes = getattr(head, "classes_", None)
    if getattr(head, "n_outputs_", 1) != 1:
        raise NotKnown("trees with several outputs")
    trees = []
    for one in fitted:
        values = one.tree_.value[:, 0, :]
        if classes is not None:
            values = values / values.sum(axis=1, keepdims=True)
        trees.append(_sklearn_tree(one.tree_, values / len(fitted)))
    start = np.zeros(trees[0]["values"].shape[1])
    return _described(trees, start, narrow=True), [str(Link.IDENTITY if classes is None else Link.SHARES)]


def _boosted(head: Any, width: int) -> tuple[Described, list[str]]:
    if not (isinstance(head.init_, str) or is_a(head.init_, "sklearn.dummy", "DummyClassifier", "DummyRegressor")):
        raise NotKnown("gradient boosting that starts from another estimator")
    start = head._raw_predict_init(np.zeros((1, width), dtype=np.float32))[0]
    trees = []
    for stage in head.estimators_:
        for score, one in enumerate(stage):
            values = np.zeros((one.tree_.node_count, len(start)))
            values[:, score] = head.learning_rate * one.tree_.value[:, 0, 0]
            trees.append(_sklearn_tree(one.tree_, values))
    return _described(trees, start, narrow=True, refuses_missing=True), _links(head, len(start))


def _links(head: Any, scores: int) -> list[str]:
    if not hasattr(head, "classes_"):
        loss = getattr(head, "loss", "")
        return [str(Link.EXP if loss in ("poisson", "gamma") else Link.IDENTITY)]
    return [str(Link.SIGMOID if scores == 1 else Link.SOFTMAX)]


def _histogram(head: Any) -> tuple[Described, list[str]]:
    if head._preprocessor is not None:
        raise NotKnown("histogram boosting with categorical columns")
    start = np.ravel(head._baseline_prediction)
    trees = []
    for stage in head._predictors:
        for score, predictor in enumerate(stage):
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise NotKnown("histogram boosting with categorical columns")
            leaf = nodes["is_leaf"].astype(bool)
            values = np.zeros((len(nodes), len(start)))
            values[:, score] = nodes["value"]
            left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
            missing = nodes["missing_go_to_left"]
            trees.append(_tree(nodes["feature_idx"], nodes["num_threshold"], left, right, values, missing))
    return _described(trees, start, narrow=False), _links(head, len(start))


def _xgboost(head: Any) -> tuple[Described, list[str]]:
    learner = json.loads(bytes(head.get_booster().save_raw("json")))["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise NotKnown(f"XGBoost's booster {booster['name']}")
    objective = str(learner["objective"]["name"])
    links = {
        "binary:logistic": Link.SIGMOID,
        "multi:softprob": Link.SOFTMAX,
        "multi:softmax": Link.SOFTMAX,
        "reg:squarederror": Link.IDENTITY,
        "reg:absoluteerror": Link.IDENTITY,
        "count:poisson": Link.EXP,
        "reg:gamma": Link.EXP,
        "reg:tweedie": Link.EXP,
        "rank:ndcg": Link.IDENTITY,
        "rank:map": Link.IDENTITY,
        "rank:pairwise": Link.IDENTITY,
    }
    if objective not in links:
        raise NotKnown(f"XGBoost's objective {objective}")
    k = max(1, int(learner["learner_model_param"]["num_class"]))
    start = _xgboost_start(str(learner["learner_model_param"]["base_score"]), k, links[objective])
    kept = _rounds(head, k, len(booster["model"]["trees"]))
    trees = [
        _xgboost_tree(tree, score, k)
        for tree, score in list(zip(booster["model"]["trees"], booster["model"]["tree_info"], strict=True))[:kept]
    ]
    return _described(trees, start, narrow=True, sums_in_32_bits=True), [str(links[objective])]


def _rounds(head: Any, k: int, trees: int) -> int:
    """Return how many trees answer: up to the best round where training stopped early."""
    best = getattr(head, "best_iteration", None) if getattr(head, "early_stopping_rounds", None) else None
    return trees if best is None else (int(best) + 1) * k


def _xgboost_start(text: str, k: int, link: Link) -> Any:
    base = np.array([float(part) for part in text.strip("[]").split(",")])
    if link is Link.SIGMOID:
        base = np.log(base / (1.0 - base))
    elif link is Link.EXP:
        base = np.log(base)
    return np.broadcast_to(base, (k,))


def _xgboost_tree(tree: dict[str, Any], score: int, k: int) -> Described:
    if any(tree.get("categories_sizes") or ()) or any(tree.get("split_type") or ()):
        raise NotKnown("XGBoost with categorical columns")
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    condition = np.array(tree["split_conditions"], dtype=np.float32)
    values = np.zeros((len(left), k))
    # A leaf's value stands where an inner node has its condition.
    values[:, score] = np.where(left < 0, condition, 0.0)
    # XGBoost goes left when x < condition, in 32 bits.
    below = np.nextafter(condition, np.float32(-np.inf)).astype(np.float64)
    return _tree(tree["split_indices"], below, left, right, values, np.array(tree["default_left"]).astype(bool))


def _lightgbm(head: Any) -> tuple[Described, list[str]]:
    model = head.booster_.dump_model()
    objective = str(model.get("objective", "")).split()
    links = {"binary": Link.SIGMOID, "multiclass": Link.SOFTMAX, "regression": Link.IDENTITY, "poisson": Link.EXP}
    links |= {"regression_l1": Link.IDENTITY, "huber": Link.IDENTITY, "lambdarank": Link.IDENTITY}
    links |= {"rank_xendcg": Link.IDENTITY, "gamma": Link.EXP, "tweedie": Link.EXP}
    if not objective or objective[0] not in links or model.get("average_output"):
        raise NotKnown(f"LightGBM's objective {' '.join(objective)}")
    if objective[0] == "binary" and "sigmoid:1" not in objective:
        raise NotKnown("LightGBM's sigmoid parameter")
    if "sqrt" in objective:
        raise NotKnown("LightGBM's reg_sqrt")
    k = int(model["num_tree_per_iteration"])
    trees = [_lightgbm_tree(info["tree_structure"], index % k, k) for index, info in enumerate(model["tree_info"])]
    return _described(trees, np.zeros(k), narrow=False), [str(links[objective[0]])]


def _lightgbm_tree(root: dict[str, Any], score: int, k: int) -> Described:
    nodes: list[tuple[int, float, int, int, float, bool]] = []
    _walk(root, nodes)
    feature, threshold, left, right, value, missing_left = zip(*nodes, strict=True)
    values = np.zeros((len(nodes), k))
    values[:, score] = value
    return _tree(feature, threshold, left, right, values, missing_left)


def _walk(node: dict[str, Any], nodes: list[Any]) -> int:
    """Append a node and all below it; return its place."""
    place = len(nodes)
    nodes.append(None)
    if "leaf_value" in node:
        nodes[place] = (0, np.inf, -1, -1, float(node["leaf_value"]), True)
        return place
    if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
        raise NotKnown("LightGBM with categorical columns, or zeros that mean missing")
    threshold = float(node["threshold"])
    # Where training saw no missing value, LightGBM takes one for 0.
    missing_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
    left, right = _walk(node["left_child"], nodes), _walk(node["right_child"], nodes)
    nodes[place] = (int(node["split_feature"]), threshold, left, right, 0.0, missing_left)
    return place
