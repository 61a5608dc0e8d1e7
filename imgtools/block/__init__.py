"""The block graph: nodes (what a disk is), and how a tree of them is opened from a name."""
