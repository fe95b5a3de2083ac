"""MLflow: runs, versions and aliases of what was trained.

The only folder that imports MLflow, and only when it is used. May import `core`, `config` and `models`. Keeps true: a
failure of MLflow is an EnvironmentFault that says so, so that a caller can go on without it; serving never needs it.
"""
