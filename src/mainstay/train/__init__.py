"""Training: the project's code in, a bundle with its evaluation out.

May import `core`, `stats`, `config`, `models`, `data` and records of `registry`. Keeps true: the same snapshot, code,
settings and seed give the same bundle digest; confidence is calibrated, and the reference profile made, on rows the
model was not fitted on.
"""
