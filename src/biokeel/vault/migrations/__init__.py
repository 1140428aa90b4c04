"""The history of the vault's tables: see `biokeel.vault.schema`."""
