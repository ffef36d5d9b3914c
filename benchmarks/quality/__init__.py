"""Answer quality of Softgraft and other methods at equal training time."""
