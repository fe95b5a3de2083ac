"""One subject's records: given to the person (`export`), taken from everybody (`erase`), and kept erased (`reconcile`).

May import everything below: it reads the journal, the store and the snapshots, and opens sealed values. Keeps true: a
destroyed key has its tombstone in the subjects' folder and in the store, and either one destroys it again.
"""
