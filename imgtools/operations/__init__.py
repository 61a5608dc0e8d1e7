"""What one does with disks: plain functions over nodes, with results that are objects and not text.

They are the library behind the command line's verbs; each prints nothing and knows no command line.
"""
