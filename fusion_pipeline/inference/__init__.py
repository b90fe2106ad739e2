"""Estimates and their margins of error from implicates: pooling rules, replicate weights, `analyze`."""
