"""Zero, one and few shots: composing prompts from examples, scoring labels, and measuring what the shots change."""
