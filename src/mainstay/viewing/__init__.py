"""What the pages read of a project, one module for each page: frozen records, read from the store alone.

May import core, stats, store, journal, models, data, release, watch and parts. Keeps true: every read is bounded
whatever the span of time or the traffic (counts are summed by the database, blocks are sampled by their number), and
no page scans the predictions; the one search among them is bounded by time and by count.
"""
