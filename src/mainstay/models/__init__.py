"""Artefacts in and out: bundles, the loaded model, its answers, row signals, and the reference profile.

May import `core`, `config` and `stats`. Imports scikit-learn, pandas and polars only when a bundle needs them, so that
a worker starts without them. Keeps true: a bundle is loaded only after its digest held, and every answer, in
evaluation, gate, serving, shadow and batch, is made by `answers.answer`.
"""
