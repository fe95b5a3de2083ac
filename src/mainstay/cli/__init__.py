"""The commands.

Owns parsing, progress and printing: a command parses, calls one function of the project facade, prints. May import
everything below it. Keeps true: stdout holds the answer and nothing else, every error leaves through one edge
(`edge.py`) with a text, a remedy and an exit code, and asking for help loads no heavy library.
"""
