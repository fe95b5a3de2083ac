"""Load on a running server, and what it takes: client, stages, verdict. Knows HTTP and nothing of models."""
