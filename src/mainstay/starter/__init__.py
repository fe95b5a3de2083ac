"""The project that `mainstay init` writes, and its workflow for a CI server. Imports `core`."""
