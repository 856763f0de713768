"""Ways out of the job: `kafka` (for production), `file`, `memory` (for tests). See `base` to write another."""
