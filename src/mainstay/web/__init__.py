"""The control room: one place for all models that `mainstay up` runs.

Owns the pages, their frozen contexts, who may see them, and the process that shows them. `routes` is the table of
pages, `looks` what a page is, `rooms` what it needs of a project, `acts` what can be done. May import the project
facade and everything below it. Keeps true: a GET changes nothing, an act is a POST of this session with who and why in
the audit, all text is escaped, a page asks nothing of any other server, works without JavaScript, and reads no
prediction but the one that it shows or the bounded search that was asked for.
"""
