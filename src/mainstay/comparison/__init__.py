"""Two data sets side by side, once: the verdict first, then what differs, by importance.

Imports `core`, `stats`, `config`, `data`, `models`.
"""
