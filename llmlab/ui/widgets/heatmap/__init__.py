"""A heat map that shows every cell of a matrix of any size: zoom, pan, exact values, pictures for paper."""
