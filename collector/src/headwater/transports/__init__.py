"""Ways out of the job. See `base` to write another.

Alone: `kafka` (for production), `http`, `file`, `console`, `memory` (for tests). Made of others: `fallback`, `composite`,
`spool`. `building` makes what the environment describes.
"""
