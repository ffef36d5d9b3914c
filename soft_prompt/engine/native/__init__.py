"""An attention kernel in C, compiled on this machine if it has a compiler."""
