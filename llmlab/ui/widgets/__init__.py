"""Things that two or more panels use. Each takes what it needs as arguments and can be run alone."""
