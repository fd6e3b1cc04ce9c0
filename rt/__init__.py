"""The runtime: frames in, a style, frames out."""
