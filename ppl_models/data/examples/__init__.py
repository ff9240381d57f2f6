"""Data to try a program on: published measurements, and rows simulated from known clusters."""
