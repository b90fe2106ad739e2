"""What a reader of the numbers wants to see of a fusion pair."""
