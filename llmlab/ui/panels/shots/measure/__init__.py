"""The tab "Measure": what the shots change, over a whole test set."""
