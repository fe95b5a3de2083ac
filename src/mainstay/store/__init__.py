"""The store: the only SQL on our own tables, one module per family of tables.

Owns the control state: releases, routes, feedback, labels, blocks, incidents, rollout evidence, jobs, alerts, leases.
May import `core` only. Keeps true: functions take the transaction first; a state change is one guarded UPDATE with its
event row in the same transaction, and no row moved raises `StaleTransition`; what runs on SQLite runs on PostgreSQL.
"""
