"""From the journal to an incident: window → compare → estimate → diagnose.

Owns the evidence state per bundle and the summaries of blocks. May import core, stats, config, store, models, journal
and notify. Keeps true: a request is counted once; the false incidents of a model stay within the declared budget; an
open incident takes further findings instead of opening another; without labels no accuracy is claimed, only estimated
with its assumption.
"""
