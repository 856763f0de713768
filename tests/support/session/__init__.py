"""A session at the keyboard, played on a fresh clone: install, demo, every command with right and wrong input."""
