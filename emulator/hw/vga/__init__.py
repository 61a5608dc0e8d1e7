"""The display: a VGA with the Bochs extensions, its memory, and what it shows as text and as a picture.

Files: `card` (ports), `registers` (and what they mean), `memory` (the window at A0000h), `picture` (PNG and text),
`font` (the glyphs that the built-in BIOS loads).
"""
