"""Where alerts go: one notifier for each kind of address, and the delivery of the outbox.

May import `core`, `config` and `store`'s outbox. Keeps true: a slow or dead address never loses an alert and never
stops the loop, and a webhook reaches no private network unless the address says so.
"""
