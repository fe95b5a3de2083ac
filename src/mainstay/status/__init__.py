"""How a model stands, read from the store alone.

Owns the record that `mainstay status` prints and a model's first page shows, and the rule that sums it up in one word.
May import core, stats and store. Keeps true: it needs no MLflow, no journal, no running process, and what is not
known is said to be unknown.
"""
