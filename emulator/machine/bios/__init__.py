"""The built-in BIOS: the services of a PC's firmware, cut by interrupt, each on top of `emulator.machine.firmware`.

Ralf Brown's list describes the services by number. Files: `data` (the BIOS data area), `post` (what happens before
booting), `boot` (INT 18h and 19h), `video`, `palette` and `vbe` (10h), `disk` with `drives` (13h), `system` (11h, 12h,
15h), `keyboard` (09h, 16h), `ports` (14h, 17h), `clock` (08h, 1Ah), `pci` (INT 1Ah, AH = B1h). `pc` puts them together,
`bare` some of them for the bare machine.
"""
