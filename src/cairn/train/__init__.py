"""Training: one loop for pretraining and fine-tuning, its state on disk, and what is trained by it."""
