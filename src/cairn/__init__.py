"""Cairn: rebuild a brain-MRI foundation-model leaderboard from raw scans, number by number."""
