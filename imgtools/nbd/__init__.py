"""NBD, the network block device protocol: disks served to others, and others' disks as nodes."""
