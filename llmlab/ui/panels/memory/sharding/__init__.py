"""Training over several processes for real: what each rank holds and sends, beside the calculator's figures."""
