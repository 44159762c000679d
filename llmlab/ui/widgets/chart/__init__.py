"""Charts of a few thousand numbers: lines, points, stacked areas, histograms and bars, with exact values on hover."""
