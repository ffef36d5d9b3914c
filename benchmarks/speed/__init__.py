"""Speed and memory of training and generation, beside other methods."""
