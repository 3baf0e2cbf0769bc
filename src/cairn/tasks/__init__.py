"""Tasks: one file a kind of target (`registry` names them), each with its labels, loss, validation and predictions."""
