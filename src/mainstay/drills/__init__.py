"""Incidents on purpose, and the users who cause them.

May import everything below it. A drill talks to Mainstay as anybody would (commands, HTTP); truth stays with the
driver, the processes that play users know only an address and messages.
"""
