"""A style in a lower precision, and held to the pictures of the first: ONNX → ONNX, checks."""
