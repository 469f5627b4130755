"""Cuts the power of the ext4 file system at MOUNTPOINT: the page cache and the uncommitted journal are gone.

    powercut.py MOUNTPOINT

EXT4_IOC_SHUTDOWN with NOLOGFLUSH (linux/fs/ext4/ext4.h), as root. The drive's own cache is not lost, so this is kinder
than a real SD card. A `kill -9` shows none of what this shows.
"""

import fcntl
import os
import struct
import sys

EXT4_IOC_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
NOLOGFLUSH = 2

fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
os.close(fd)
