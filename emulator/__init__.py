"""A PC in Python that boots what the block layer of imgtools opens."""
