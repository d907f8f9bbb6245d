"""Frames of any port over PVAccess, as NTNDArray: for Phoebus, pvapy, areaDetector's pvaDriver.

A port named CAM01 gets two PVs: `Image` is the whole frame; `Preview` is binned to at most 512 x
512 pixels and comes at most five times a second. Both are made only while somebody watches: while a
client holds a channel to the PV.

They come from a PVAccess server in a process of its own. p4p copies pixels without letting go of
the interpreter, about a millisecond for each MiB: in the IOC's process all records, plugins and
drivers would stand still meanwhile. The IOC hands the frame's memory over, as a descriptor that can
only be read, and holds the frame until the process has made the image. It holds at most two frames
for each PV: the one that the process has in hand, and the newest.

    IOC:      settings   names of PVs, TCP port         process: serving   (or failed: why)
    process:  watch      a client has come              IOC:     frame     the last one, and newer
    process:  done       the frame's memory is not needed any more: the next one may come
    process:  unwatch    the last client has gone

Whatever ends the process, the IOC starts another, later and later if it does not last. Whatever
ends the IOC ends the process.

Two PVAccess servers on one host answer searches on the same UDP port. Of several sockets on it the
kernel hands a unicast search, as from a client on loopback, to a single one; pvxs sends such a
search on to 224.0.0.128 on the loopback interface, which reaches all of them. Each server has a TCP
port of its own: the records' server keeps the one that EPICS_PVAS_SERVER_PORT names, this one takes
any that is free unless it is given one.

`tosip.images.process` is what runs in the process, and the only importer of p4p here.
"""

from tosip.images.server import ImageServer

__all__ = ["ImageServer"]
