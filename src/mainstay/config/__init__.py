"""The project file: its settings table, the loader, the origin of each value, and the clocks.

May import `core` only. Keeps true: every setting has a type, a default, a unit and a help text in one table; an unknown
key is an error; nothing else in the package reads the environment for settings, or the time.
"""
