"""The words of the NBD protocol: every constant and message, shared by the server and the client.

Specification: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md. All numbers are big-endian.

    handshake      server: GREETING            client: client flags (32 bits)
                   client: OPTION + data       server: any number of OPTION_REPLY + data, the last an ACK or an error
    transmission   client: REQUEST (+ data)    server: SIMPLE_REPLY or STRUCTURED_REPLY chunks (+ data)
                   with extended headers: EXTENDED_REQUEST and EXTENDED_REPLY

Messages are plain `struct.Struct`s, with their fields named beside them: they are packed and unpacked several
hundred thousand times a second, straight from and into the buffers of a connection.
"""

from __future__ import annotations

import errno
from struct import Struct

DEFAULT_PORT = 10809

# Handshake.

INIT_MAGIC = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
OLDSTYLE_MAGIC = 0x00420281861253
"""What follows INIT_MAGIC in the old handshake, which has no options."""
OPTION_REPLY_MAGIC = 0x0003E889045565A9

GREETING = Struct(">8s8sH")
"""INIT_MAGIC, OPTION_MAGIC, handshake flags."""
CLIENT_FLAGS = Struct(">I")
OPTION = Struct(">8sII")
"""OPTION_MAGIC, option, length of the data that follows."""
OPTION_REPLY = Struct(">QIII")
"""OPTION_REPLY_MAGIC, option, reply type, length of the data that follows."""
EXPORT_NAME_REPLY = Struct(">QH")
"""Size, transmission flags; 124 zero bytes follow unless NO_ZEROES was agreed upon."""
EXPORT_NAME_PADDING = 124

# Handshake flags; the client's flags have the same values.
FIXED_NEWSTYLE = 1 << 0
NO_ZEROES = 1 << 1

# Options.
OPT_EXPORT_NAME = 1
OPT_ABORT = 2
OPT_LIST = 3
OPT_STARTTLS = 5
OPT_INFO = 6
OPT_GO = 7
OPT_STRUCTURED_REPLY = 8
OPT_LIST_META_CONTEXT = 9
OPT_SET_META_CONTEXT = 10
OPT_EXTENDED_HEADERS = 11

# Replies to options.
REP_ACK = 1
REP_SERVER = 2
REP_INFO = 3
REP_META_CONTEXT = 4
REP_ERROR = 1 << 31
"""Set in the replies that are errors; their data is a text for people."""
REP_ERR_UNSUP = REP_ERROR | 1
REP_ERR_POLICY = REP_ERROR | 2
REP_ERR_INVALID = REP_ERROR | 3
REP_ERR_PLATFORM = REP_ERROR | 4
REP_ERR_TLS_REQD = REP_ERROR | 5
REP_ERR_UNKNOWN = REP_ERROR | 6
REP_ERR_SHUTDOWN = REP_ERROR | 7
REP_ERR_BLOCK_SIZE_REQD = REP_ERROR | 8
REP_ERR_TOO_BIG = REP_ERROR | 9
REP_ERR_EXT_HEADER_REQD = REP_ERROR | 10

# What REP_INFO tells: each begins with its type.
INFO_EXPORT = 0
INFO_NAME = 1
INFO_DESCRIPTION = 2
INFO_BLOCK_SIZE = 3

INFO_TYPE = Struct(">H")
INFO_EXPORT_DATA = Struct(">HQH")
"""INFO_EXPORT, size, transmission flags."""
INFO_BLOCK_SIZE_DATA = Struct(">HIII")
"""INFO_BLOCK_SIZE; minimum, preferred block size; largest payload."""
NAME_LENGTH = Struct(">I")
"""Before the export name in INFO, GO and the meta context options, and before each of their queries."""
COUNT16 = Struct(">H")
"""How many information requests follow in INFO and GO."""
COUNT32 = Struct(">I")
"""How many queries follow in the meta context options."""
CONTEXT_ID = Struct(">I")
"""Before the context's name in REP_META_CONTEXT."""

# Transmission flags: what the server can do with an export.
HAS_FLAGS = 1 << 0
READ_ONLY = 1 << 1
SEND_FLUSH = 1 << 2
SEND_FUA = 1 << 3
ROTATIONAL = 1 << 4
SEND_TRIM = 1 << 5
SEND_WRITE_ZEROES = 1 << 6
SEND_DF = 1 << 7
CAN_MULTI_CONN = 1 << 8
SEND_RESIZE = 1 << 9
SEND_CACHE = 1 << 10
SEND_FAST_ZERO = 1 << 11
BLOCK_STATUS_PAYLOAD = 1 << 12

# Requests.

REQUEST_MAGIC = 0x25609513
EXTENDED_REQUEST_MAGIC = 0x21E41C71

REQUEST = Struct(">IHHQQI")
"""REQUEST_MAGIC, command flags, command, cookie, offset, length; the data of a write follows."""
EXTENDED_REQUEST = Struct(">IHHQQQ")
"""EXTENDED_REQUEST_MAGIC, command flags, command, cookie, offset, length; a payload follows if PAYLOAD_LEN is set."""

CMD_READ = 0
CMD_WRITE = 1
CMD_DISC = 2
CMD_FLUSH = 3
CMD_TRIM = 4
CMD_CACHE = 5
CMD_WRITE_ZEROES = 6
CMD_BLOCK_STATUS = 7

# Command flags.
FLAG_FUA = 1 << 0
FLAG_NO_HOLE = 1 << 1
FLAG_DF = 1 << 2
FLAG_REQ_ONE = 1 << 3
FLAG_FAST_ZERO = 1 << 4
FLAG_PAYLOAD_LEN = 1 << 5

STATUS_PAYLOAD = Struct(">Q")
"""In the payload of an extended BLOCK_STATUS: the effect length; context ids (CONTEXT_ID) follow."""

# Replies.

SIMPLE_REPLY_MAGIC = 0x67446698
STRUCTURED_REPLY_MAGIC = 0x668E33EF
EXTENDED_REPLY_MAGIC = 0x6E8A278C

SIMPLE_REPLY = Struct(">IIQ")
"""SIMPLE_REPLY_MAGIC, error, cookie; the data of a read that went well follows."""
STRUCTURED_REPLY = Struct(">IHHQI")
"""STRUCTURED_REPLY_MAGIC, reply flags, chunk type, cookie, length of the data that follows."""
EXTENDED_REPLY = Struct(">IHHQQQ")
"""EXTENDED_REPLY_MAGIC, reply flags, chunk type, cookie, the request's offset, length of the data that follows."""

REPLY_DONE = 1 << 0
"""The reply flag of a request's last chunk."""

# Chunk types.
CHUNK_NONE = 0
CHUNK_OFFSET_DATA = 1
CHUNK_OFFSET_HOLE = 2
CHUNK_BLOCK_STATUS = 5
CHUNK_BLOCK_STATUS_EXT = 6
CHUNK_IS_ERROR = 1 << 15
CHUNK_ERROR = CHUNK_IS_ERROR | 1
CHUNK_ERROR_OFFSET = CHUNK_IS_ERROR | 2

CHUNK_OFFSET = Struct(">Q")
"""What OFFSET_DATA begins with, and ERROR_OFFSET ends with."""
CHUNK_HOLE = Struct(">QI")
"""All of OFFSET_HOLE: offset, length."""
CHUNK_ERROR_HEAD = Struct(">IH")
"""What the errors begin with: the error, the length of the text that follows."""
STATUS_HEAD = Struct(">I")
"""What BLOCK_STATUS begins with: the context id. Descriptors follow."""
STATUS_DESCRIPTOR = Struct(">II")
"""Length, status flags."""
STATUS_EXT_HEAD = Struct(">II")
"""What BLOCK_STATUS_EXT begins with: the context id, the number of descriptors."""
STATUS_EXT_DESCRIPTOR = Struct(">QQ")
"""Length, status flags."""

# Meta contexts, and what their status means.
BASE_ALLOCATION = "base:allocation"
STATE_HOLE = 1 << 0
STATE_ZERO = 1 << 1
ALLOCATION_DEPTH = "qemu:allocation-depth"
"""The status is the layer that holds the range: 0 none, 1 the top one."""
DIRTY_BITMAP = "qemu:dirty-bitmap:"
"""Followed by the bitmap's name."""
STATE_DIRTY = 1 << 0

# Errors that replies can carry: on the wire they have Linux' numbers, whatever the host's are.
EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 12, 22, 28, 75, 95, 108

ERROR_OF_ERRNO = {
    errno.EPERM: EPERM,
    errno.EROFS: EPERM,
    errno.EACCES: EPERM,
    errno.EIO: EIO,
    errno.ENOMEM: ENOMEM,
    errno.EINVAL: EINVAL,
    errno.ENOSPC: ENOSPC,
    errno.EDQUOT: ENOSPC,
    errno.EFBIG: ENOSPC,
    errno.EOVERFLOW: EOVERFLOW,
    errno.EOPNOTSUPP: ENOTSUP,
    errno.ESHUTDOWN: ESHUTDOWN,
}
"""The host's error numbers to the protocol's; any other is EIO."""

# Limits.

MAX_STRING = 4096
"""Bytes of an export name, a context's name, a description, an error's text: the specification's limit."""
MAX_PAYLOAD = 32 << 20
"""Bytes of data in one read or write, which every server and client bears unless it says otherwise."""
MAX_DESCRIPTORS = 1 << 20
"""Of a block status chunk: the specification's limit for what a client has to bear."""
MAX_LENGTH = (1 << 32) - 1
"""What a request without extended headers can say."""
