"""The overview page.

Owns the page, its frozen context and the process that shows it. May import the project facade and everything below
it. Keeps true: it only reads, it needs no other process to be up, all text is escaped, and a page asks nothing of any
other server.
"""
