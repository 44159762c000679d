"""Number formats: the bits of any number in each of them, to look at and to turn over."""
