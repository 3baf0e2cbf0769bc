"""Self-supervised learning: one file an objective (`registry` names them); no objective knows a task."""
