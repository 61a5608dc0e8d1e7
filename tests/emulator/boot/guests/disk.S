# A boot sector that writes a sector by INT 13h, twice with -DTWICE, and says "W" or "E", waits for a key if it is built
# with -DWAITS, and ends the machine.
    .code16
    .globl start
start:
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov $0x0301, %ax
    mov $0x0002, %cx
    mov $0x0080, %dx
    mov $0x7c00, %bx
    int $0x13
#ifdef TWICE
    mov $0x0301, %ax
    int $0x13
#endif
    mov $'E', %al
    jc 1f
    mov $'W', %al
1:  mov $0x0e, %ah
    xor %bx, %bx
    int $0x10
#ifdef WAITS
    xor %ax, %ax
    int $0x16
    mov $0x0e, %ah
    int $0x10
#endif
#ifdef FAULTS
    lidt 0x7c00 + empty - start
    int3
empty: .fill 6
#endif
#ifdef RESETS
    mov $0xcf9, %dx
    mov $6, %al
    out %al, %dx
    hlt
#endif
    mov $0xf4, %dx
    mov $5, %al
    out %al, %dx
    hlt
    .org 510
    .word 0xaa55
