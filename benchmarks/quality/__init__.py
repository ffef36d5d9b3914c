"""Answer quality of Softgraft and its peers after equal training time."""
