"""The project that `mainstay init` writes. Imports `core`."""
