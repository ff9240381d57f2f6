"""Model comparison: number of clusters, leave-one-out, calibration."""
