"""The leaderboard's page: one self-contained file that opens from disk."""
