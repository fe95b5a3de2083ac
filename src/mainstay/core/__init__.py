"""The words: frozen records, states, pure rules, ports and errors.

Imports nothing of ours. Knows no HTTP, SQL, clock, file or environment; everything here can be
tested with plain values.
"""
