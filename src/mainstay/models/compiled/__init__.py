"""Fitted estimators as plain arrays: what they compute, without the library that fitted them. Exact, or not used.

`build.py` looks whether an estimator can be written so, `parity.py` holds the result against the estimator's own
answers, and the rest computes. A worker that serves a compiled model imports NumPy and nothing of scikit-learn.
"""
