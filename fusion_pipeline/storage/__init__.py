"""Paths, atomic writes, Parquet tables with levels and provenance, model sets and implicates on disk."""
