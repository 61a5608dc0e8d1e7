"""The soft MMU: guest memory, paging and the TLB, in compiled Python.

`space` builds physical memory, `walk` translates, `tlb` remembers, `access` is what instructions use, and
`mmu.SoftMmu` ties them together.  Intel SDM Vol. 3, chapter 4.
"""
