"""The tab "Answer": what the model says to one query."""
