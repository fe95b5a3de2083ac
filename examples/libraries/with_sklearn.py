"""scikit-learn: whatever has fit() and predict_proba()."""

from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def build(params):
    columns = make_column_transformer(
        (StandardScaler(), ["hours", "vibration", "heat"]), (OneHotEncoder(handle_unknown="ignore"), ["site"])
    )
    return make_pipeline(columns, LogisticRegression())
