"""The calculator held against the loaded model: every component predicted and measured."""
