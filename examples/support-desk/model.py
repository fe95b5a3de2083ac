"""How the models are built. Each function returns an unfitted scikit-learn estimator."""

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union


def build_words(params):
    """Count the words: the model as the team first built it."""
    return make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))


def build_robust(params):
    """Read words and pieces of words, so that a typo costs a piece and not the word."""
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(make_union(pieces, words), LogisticRegression(C=20, max_iter=2000))


def build_broken(params):
    """Keep a debugging setting: only twenty words are ever looked at. The gate must stop this one."""
    return make_pipeline(CountVectorizer(max_features=20), LogisticRegression(max_iter=1000))
