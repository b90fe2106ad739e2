"""Dagster resources and the IO manager: where bytes come from and go to. The real work is in the library."""
