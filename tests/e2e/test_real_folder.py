"""Guards the other door: a folder of real heads, raw, named in the configuration, goes through to predictions."""
