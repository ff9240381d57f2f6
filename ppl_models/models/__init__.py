"""The programs that come with the package: a file each, found by their file's name."""
