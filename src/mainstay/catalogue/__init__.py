"""`mainstay features`: what features there are, what they cost, who uses them, and whether they are served as trained.

May import the stages and `parts`. Keeps true: it writes nothing of the project's state.
"""
