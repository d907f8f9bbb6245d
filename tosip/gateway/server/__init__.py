"""The FTP server that cameras talk to: control connections, users, names."""
