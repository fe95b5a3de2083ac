"""Data before training: sources, the contract's two checks, snapshots, splits and the audit.

May import `core` and `config`. Keeps true: the frame check and the request check accept the same rows, give the same
values and name the same reasons; a snapshot never changes.
"""
