"""Events on disk while the way out is closed: `records` (the bytes), `store` (files and their owners)."""
