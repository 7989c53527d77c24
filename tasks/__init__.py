"""The two studies, and what they share. Read `covid.py` first: it is written from top to bottom."""
