"""Checkpoints as things to share: read, and later publish, trained GANs."""
