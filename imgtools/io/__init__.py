"""The exerciser shell: `imgtools io`, and qemu-io under that name.

    shell.py        the session: lines in, texts out
    command.py      what a command is, and how a line becomes a call
    table.py        every command's name, and the module that declares it
    image.py        the open image, and how it is opened

    reading.py  writing.py  asynchronous.py  state.py  faults.py     the commands that qemu-io has
    beyond.py  why.py  transcript.py                                 those that it does not have
    report.py  dump.py  numbers.py  failure.py                       texts and numbers as qemu-io writes them
    lines.py  terminal.py  completion.py                             where lines come from

What the commands print, their messages and exit codes are qemu-io's to the letter: scripts compare them.
"""
