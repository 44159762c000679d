"""The worker layer: one model thread, a small pool for files, and the bridge that brings results to Qt."""
