"""From a survey's raw public files to standardized microdata with a data dictionary.

Belongs here: what turns codes into labels, amounts and identifiers, and says what it did. What is true of one
survey (codes, labels, skips, weights) is data in `codebooks/`; where files come from is `raw/`.
"""
