"""A River model, which learns one row after the other, with the methods that an estimator has."""

import numpy as np
from river import compose, linear_model, optim, preprocessing
from sklearn.base import BaseEstimator, ClassifierMixin


class OnlineClassifier(ClassifierMixin, BaseEstimator):
    """Learns the rows in the order in which they come, several times over."""

    def __init__(self, passes=5, rate=0.05):
        self.passes = passes
        self.rate = rate

    def fit(self, frame, truth, sample_weight=None):
        self.classes_ = np.unique(truth)
        numbers = compose.Select("hours", "vibration", "heat") | preprocessing.StandardScaler()
        words = compose.Select("site") | preprocessing.OneHotEncoder()
        self.model_ = (numbers + words) | linear_model.LogisticRegression(optim.SGD(self.rate))
        weights = np.ones(len(truth)) if sample_weight is None else sample_weight
        rows = list(zip(frame.to_dict("records"), truth == self.classes_[1], weights, strict=True))
        for _ in range(self.passes):
            for row, is_second, weight in rows:
                self.model_.learn_one(row, bool(is_second), w=float(weight))
        return self

    def predict_proba(self, frame):
        second = [self.model_.predict_proba_one(row).get(True, 0.5) for row in frame.to_dict("records")]
        return np.column_stack([1 - np.array(second), second])


def build(params):
    return OnlineClassifier(**params)
