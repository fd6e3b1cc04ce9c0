"""Images in, style out: training and export in PyTorch."""
