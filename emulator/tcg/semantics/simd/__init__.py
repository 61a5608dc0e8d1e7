"""MMX, SSE to SSE4.2, AES and PCLMULQDQ (Intel SDM Vol. 1, chapters 9 to 12)."""
