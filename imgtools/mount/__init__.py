"""Disks as files of the host, by FUSE: no root, no loop device, no kernel driver for the format.

contents.py      which files a mounted directory has: the disk, its partitions, its snapshots
filesystem.py    those files for the kernel
library.py       the binding to libfuse
leaving.py       taking a mounted directory away, and waiting until its image is closed
"""
