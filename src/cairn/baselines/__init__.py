"""The plain baseline: scikit-learn on simple volumes and intensities; and the door to every method of fine-tuning."""
