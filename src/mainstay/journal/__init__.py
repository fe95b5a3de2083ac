"""The journal: the append-only record of predictions, refusals, shadow answers and feedback.

Owns segment files (one writer each), their sealing into Parquet, reading both, and what of a row may be written down
(`personal`). May import `core` only. Keeps true: a commit that returned is found again after any crash; a reader never
goes past a torn tail and never skips a record; a seq is never used twice.
"""
