"""The tab Build: instruction, template, examples and query, and the prompt that they make."""
