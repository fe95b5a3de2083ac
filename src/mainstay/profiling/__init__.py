"""A look at one data set before modelling: types, distributions, gaps, ties, leaks, copies, what is personal.

`profile.py` is the way through (read first). Imports `core`, `stats`, `config`, `data`, `models`, `comparison`.
Keeps true: counts are of all rows, distributions that need order or pairs of a stated sample, and a value that looks
personal is in no report.
"""
