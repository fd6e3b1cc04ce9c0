"""A style in lower precision and as engines, compared with FP32."""
