"""One file each change of the vault's tables, never changed once released."""
