"""How much of a file is read, so that any file is answered within a second or two. One place for all of it."""

from __future__ import annotations

HEAD = 16_000_000  # bytes: of a larger file of lines (CSV, JSON Lines, text, JSON) only the beginning is read
YAML_BYTES = 4_000_000  # a YAML file has no beginning that could be read alone
YAML_WORK = 8_000_000  # characters parsed in all, while broken places of a file are looked for
SHEET_BYTES = 32_000_000  # of a workbook as it lies on the disk
SHEET_UNPACKED = 64_000_000  # of all its parts, unpacked: what a zip bomb would exceed
SHEET_TEXTS = 16_000_000  # of the texts that the cells share
SHEET_CELLS = 150_000
ROWS = 50_000
COLUMNS = 256
FIELD = 1_000_000  # characters of one value
NAME = 200  # characters of a field's name
DEPTH = 64  # lists in lists
NODES = 400_000  # values of one YAML file, once every alias is written out
RECORD_LINES = 1_000  # of one quoted value: what is longer has lost its closing quote
REPAIRS = 20  # broken places of one YAML file that are cut out, one after another
BROKEN = 1_000  # records of one JSON file that are passed over before reading ends
COMBINATIONS = 1_000  # tests that one test with lists of values stands for
NOTES = 200  # of one kind that are told one by one; the others are counted
SAMPLE = 64  # records that the delimiter, the header and the mapping are judged by
