"""Fits of one program to many data sets."""
