"""Is the fused microdata any good: marginals against the donor, figures, and the report."""
