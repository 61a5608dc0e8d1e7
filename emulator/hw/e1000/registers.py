"""The 82540EM's registers: offsets into window 0, their bits, and their values after a reset (chapter 13)."""

from __future__ import annotations

CTRL, STATUS, EECD, EERD, CTRL_EXT, MDIC = 0x0000, 0x0008, 0x0010, 0x0014, 0x0018, 0x0020
FCAL, FCAH, FCT, VET, FCTTV, TXCW, RXCW = 0x0028, 0x002C, 0x0030, 0x0038, 0x0170, 0x0178, 0x0180
ICR, ITR, ICS, IMS, IMC = 0x00C0, 0x00C4, 0x00C8, 0x00D0, 0x00D8
RCTL, TCTL, TIPG, AIT, LEDCTL, PBA = 0x0100, 0x0400, 0x0410, 0x0458, 0x0E00, 0x1000
FCRTL, FCRTH = 0x2160, 0x2168
RECEIVE_RING, RDTR, RXDCTL, RADV, RSRPD = 0x2800, 0x2820, 0x2828, 0x282C, 0x2C00
TRANSMIT_RING, TIDV, TXDCTL, TADV, TSPMT = 0x3800, 0x3820, 0x3828, 0x382C, 0x3830
RXCSUM, WUC, WUFC, WUS, MANC = 0x5000, 0x5800, 0x5808, 0x5810, 0x5820
MULTICAST_TABLE, MULTICAST_WORDS = 0x5200, 128
RECEIVE_ADDRESSES, RECEIVE_ADDRESS_COUNT = 0x5400, 16
VLAN_TABLE, VLAN_WORDS = 0x5600, 128

# Of a ring, from its first register on
BASE_LOW, BASE_HIGH, LENGTH, HEAD, TAIL = 0x00, 0x04, 0x08, 0x10, 0x18

CTRL_RESET, CTRL_PHY_RESET = 1 << 26, 1 << 31
STATUS_VALUE = 1 | 1 << 1 | 2 << 6  # full duplex, link up, 1000 Mb/s

# Causes of interrupts: ICR, ICS, IMS, IMC
TRANSMITTED, QUEUE_EMPTY, LINK_CHANGED = 1 << 0, 1 << 1, 1 << 2
FEW_DESCRIPTORS, RECEIVED, MDIO_DONE = 1 << 4, 1 << 7, 1 << 9
CAUSES = 0x1FFFF

# RCTL
RECEIVER_ON, ALL_UNICAST, ALL_MULTICAST, LONG_FRAMES = 1 << 1, 1 << 3, 1 << 4, 1 << 5
MINIMUM_THRESHOLD, MULTICAST_OFFSET, BUFFER_SIZE = 8, 12, 16  # places of two bits
BROADCAST_ACCEPTED, SIZE_EXTENSION, STRIP_CRC = 1 << 15, 1 << 25, 1 << 26
TRANSMITTER_ON = 1 << 1  # TCTL
IP_CHECKED, TCP_CHECKED = 1 << 8, 1 << 9  # RXCSUM
ADDRESS_VALID = 1 << 31  # the high half of a receive address

# Statistics (section 13.7): cleared when they are read; 64 bits wide ones have their high half behind them
STATISTICS = range(0x4000, 0x4100, 4)
MISSED_PACKETS, RECEIVED_PACKETS, RECEIVED_BROADCASTS, RECEIVED_MULTICASTS = 0x4010, 0x4074, 0x4078, 0x407C
SENT_PACKETS, RECEIVED_OCTETS, SENT_OCTETS, NO_BUFFERS = 0x4080, 0x4088, 0x4090, 0x40A0
TOTAL_RECEIVED_OCTETS, TOTAL_SENT_OCTETS, TOTAL_RECEIVED, TOTAL_SENT = 0x40C0, 0x40C8, 0x40D0, 0x40D4
SENT_SEGMENTED = 0x40F8

RESET_VALUES = {
    CTRL: 0x0014_0241,
    STATUS: STATUS_VALUE,
    EERD: 0,
    CTRL_EXT: 0,
    MDIC: 1 << 28,
    FCAL: 0,
    FCAH: 0,
    FCT: 0,
    VET: 0x8100,
    FCTTV: 0,
    TXCW: 0,
    RXCW: 0,
    ITR: 0,
    RCTL: 0,
    TCTL: 0,
    TIPG: 0x0060_200A,
    AIT: 0,
    LEDCTL: 0x602,
    PBA: 0x0010_0030,
    FCRTL: 0,
    FCRTH: 0,
    RDTR: 0,
    RXDCTL: 1 << 16,
    RADV: 0,
    RSRPD: 0,
    TIDV: 0,
    TXDCTL: 0,
    TADV: 0,
    TSPMT: 0x0100_0400,
    RXCSUM: 0,
    WUC: 0,
    WUFC: 0,
    WUS: 0,
    MANC: 0,
    **{
        ring + place: 0 for ring in (RECEIVE_RING, TRANSMIT_RING) for place in (BASE_LOW, BASE_HIGH, LENGTH, HEAD, TAIL)
    },
    **dict.fromkeys(STATISTICS, 0),
    **{MULTICAST_TABLE + 4 * number: 0 for number in range(MULTICAST_WORDS)},
    **{RECEIVE_ADDRESSES + 4 * number: 0 for number in range(2 * RECEIVE_ADDRESS_COUNT)},
    **{VLAN_TABLE + 4 * number: 0 for number in range(VLAN_WORDS)},
}
"""Every register that only remembers; the others are the card's, the EEPROM's and the PHY's."""

READ_ONLY = {STATUS, RXCW, *STATISTICS}
WRITABLE = {
    **{ring + BASE_LOW: 0xFFFFFFF0 for ring in (RECEIVE_RING, TRANSMIT_RING)},
    **{ring + LENGTH: 0xFFF80 for ring in (RECEIVE_RING, TRANSMIT_RING)},
    **{ring + place: 0xFFFF for ring in (RECEIVE_RING, TRANSMIT_RING) for place in (HEAD, TAIL)},
    ITR: 0xFFFF,
}
"""The bits that exist, where these are not all."""
