"""Anybody's clips: bodies found and followed, laws checked, a report. No training, no learned part, no Warp."""
