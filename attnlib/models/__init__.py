"""One module per paper, built from the layers."""
