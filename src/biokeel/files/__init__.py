"""Genome files in the vault zone: checked, written anew without what identifies anybody, and only then released."""
