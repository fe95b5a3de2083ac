"""Every delivery of data, checked before anything is fitted to it: questions, a report to read, checks to gate on.

`check.py` is the way through (read first). Imports `core`, `stats`, `config`, `data`, `models`, `comparison`,
`profiling`. Keeps true: what could not be looked at is no pass, and a report holds no value of a personal field.
"""
