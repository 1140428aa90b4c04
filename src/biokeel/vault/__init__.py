"""Who is who: the only code that knows which identifiers belong to which participant."""
