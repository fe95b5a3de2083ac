"""Fresh training rows from a declared source: fetch → read → check → keep, each record once, whatever breaks.

May import everything below the loop. Keeps true: what was kept moves the high-water mark in the same transaction; a
record that cannot be used is a dead letter and is never lost; no address is asked that the network's rules forbid.
"""
