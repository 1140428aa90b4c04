"""What a source system uses: the publishing client, its receipts and the adapters of file formats."""
