"""Two data sets side by side, once: the verdict first, then what differs, by importance.

`compare.py` is the way through (read first): frames → kinds → a measure per kind → all fields together → judge → show.
Imports `core`, `stats`, `config`, `data`, `models`.
Keeps true: two halves of one population are called different in at most about alpha of all cases, and too few rows are
never called the same.
"""
