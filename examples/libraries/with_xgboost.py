"""XGBoost's own estimator, as it is."""

from xgboost import XGBClassifier


def build(params):
    return XGBClassifier(n_estimators=60, max_depth=3, learning_rate=0.1, enable_categorical=True, n_jobs=1)
