"""The calculator: what a model takes of a GPU's memory, from its architecture alone."""
