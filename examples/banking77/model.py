"""How the models are built. Each function returns an unfitted scikit-learn estimator."""

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline


def build_words(params):
    """Count the words."""
    return make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))


def build_robust(params):
    """Read pieces of words, so that a typo costs a piece and not the word."""
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2)
    return make_pipeline(pieces, SGDClassifier(loss="log_loss", alpha=1e-5, random_state=7))


def build_broken(params):
    """Keep a debugging setting: only twenty words are ever looked at. The gate must stop this one."""
    return make_pipeline(CountVectorizer(max_features=20), LogisticRegression(max_iter=1000))
