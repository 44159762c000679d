"""The frame around the panels: rail, prompt, model bar, status line, banner, drops."""
