"""A network card: Intel's 82540EM, which Linux calls e1000 ("PCI/PCI-X Family of Gigabit Ethernet Controllers Software
Developer's Manual", 317453; sections are that manual's).

| file | what it is |
|---|---|
| `card.py` | registers, interrupts, statistics, windows |
| `registers.py` | where registers are |
| `eeprom.py`, `phy.py` | the two chips beside it |
| `ring.py`, `transmit.py`, `receive.py` | descriptors and frames |
"""

from .card import E1000

__all__ = ["E1000"]
