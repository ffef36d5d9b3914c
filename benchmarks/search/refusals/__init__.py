"""The evidence score: its calibration, and its refusals in sets that it was not fitted on."""
