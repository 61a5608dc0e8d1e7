"""The x87 unit (Intel SDM Vol. 1, chapter 8)."""
