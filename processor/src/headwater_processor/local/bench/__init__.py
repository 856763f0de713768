"""How `headwater bench` measures: a place of its own, a worker as users start it, figures from the outside."""
