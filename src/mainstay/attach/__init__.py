"""A service that answers by itself, put under watch: middleware and one call. Never slows or fails it. Imports `core`, `config`, `journal`, `data`, `models`."""
