"""SpinQuant in PyTorch, written independently of the product as a yardstick for it."""
