"""LightGBM's own estimator, as it is."""

from lightgbm import LGBMClassifier


def build(params):
    return LGBMClassifier(
        n_estimators=60, num_leaves=7, learning_rate=0.1, n_jobs=1, deterministic=True, force_row_wise=True, verbose=-1
    )
