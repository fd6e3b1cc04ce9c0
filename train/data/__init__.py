"""Images: read, augmented, checked, and fed to training as batches."""
