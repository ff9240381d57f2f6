"""Questions, a file each, with an answer in numbers and pictures; benchmarks and verification."""
