"""The exerciser shell: `imgtools io`, and qemu-io under that name.

    command.py   what a command is and how a line becomes a call     shell.py      the session: lines in, texts out
    table.py     every command's name and where it is declared       image.py      the open image and how it is opened
    reading.py  writing.py  background.py  state.py  faults.py       the commands that qemu-io has
    beyond.py  why.py  transcript.py  structures.py                  those that it does not have
    report.py  dump.py  numbers.py                                   texts and numbers as qemu-io writes them
    terminal.py                                                      history and completion

What the commands print, their messages and exit codes are qemu-io's to the letter: scripts compare them.
"""
