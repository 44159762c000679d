"""Measurements on trained models. Each module answers one question and returns frozen results."""
