"""Style in, engine for one machine out: precision, build, verify. Nothing is built here yet."""
