"""Cuts the power of the ext4 file system at MOUNTPOINT: the page cache and the uncommitted journal are gone.

    powercut.py MOUNTPOINT

EXT4_IOC_SHUTDOWN with NOLOGFLUSH (linux/fs/ext4/ext4.h), as root. The drive's own cache is not lost, so this is kinder
than a real SD card. A `kill -9` shows none of what this shows.

Prints when it began, in nanoseconds of the wall clock. What a program is told from then on does not count: a sync that
is under way in that instant may come back as done, and nobody is left to hear it when the power really goes.
"""

import fcntl
import os
import struct
import sys
import time

EXT4_IOC_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
NOLOGFLUSH = 2

fd = os.open(sys.argv[1], os.O_RDONLY)
print(time.time_ns())
fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
os.close(fd)
