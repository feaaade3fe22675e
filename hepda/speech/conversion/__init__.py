"""Environment conversion: speech in one room to the same speech in another, which a reference recording shows."""
