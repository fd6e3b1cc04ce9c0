"""Many inputs: planned, translated one by one, resumed."""
