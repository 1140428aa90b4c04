"""The pages that operators and stewards look at."""
