"""Batches: a file in, a file out, one row for each row, watched like live traffic.

Imports `core`, `config`, `journal`, `data`, `models`.
"""
