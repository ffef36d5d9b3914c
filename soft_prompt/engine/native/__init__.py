"""What a decoding step does between its matrix products, in C, compiled on this machine if it has a compiler."""
