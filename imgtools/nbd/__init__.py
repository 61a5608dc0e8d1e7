"""NBD, the network block device protocol: disks served to others (`server`), and others' disks as nodes (`client`)."""
