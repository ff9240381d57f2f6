"""The documentation's pages, opened in a browser."""
