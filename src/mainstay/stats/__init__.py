"""Arrays in, numbers out: intervals, anytime-valid sequences, evidence, calibration, words.

Imports `core` only. Knows no HTTP, SQL, clock, file or environment. Every formula names its source, and a test
recomputes it a second way.
"""
