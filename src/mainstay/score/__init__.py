"""Batches: a file in, a file out, one row for each row, watched like live traffic.

Imports `core`, `config`, `journal`, `data`, `models`. Keeps true: the file of a run that was killed and run again is
the file of one that was not; a row is answered as serving would answer it; a row is written into the journal once.
"""
