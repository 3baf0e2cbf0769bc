"""From raw scans to tensors: one function for pretraining, fine-tuning and inference."""
