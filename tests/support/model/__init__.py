"""Workers, a log and a Redis in memory, driven step by step: every interleaving is a list of steps."""
