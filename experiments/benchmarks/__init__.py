"""How fast: ratios against peers, as medians of paired runs on the machine at hand."""
