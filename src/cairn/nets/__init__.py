"""Networks: a shared encoder on MONAI's blocks, late fusion of any set of sequences, decoders and heads."""
