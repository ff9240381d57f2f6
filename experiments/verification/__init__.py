"""Long checks that the samplers draw from the posteriors that they say they draw from."""
