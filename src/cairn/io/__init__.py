"""Reading and writing: guarded NIfTI, tables, shards, atomic files."""
