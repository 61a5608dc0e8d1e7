# A boot sector that calls the services of the BIOS and prints what they return to the debug console: registers and CF.

        .code16
        .text
        .globl  _start

        .macro  say text
        movw    $901f, %si
        call    print
        jmp     902f
901:    .asciz  "\text"
902:
        .endm

        # What a call returned: the registers that are named, and the carry flag
        .macro  tell name, registers:vararg
        movw    %si, saved_si
        pushfw
        popw    saved_flags
        movw    %ax, saved_ax
        say     "\name:"
        .irp    register, \registers
        .ifc    \register, ax
        movw    saved_ax, %ax
        .else
        movw    %\register, %ax
        .endif
        call    print_hex
        .endr
        call    print_carry
        .endm

_start: ljmp    $0, $begin
begin:  xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        cld
        sti
        movb    %dl, drive
        tell    "boot drive", dx
        movw    $0x0200 + REST, %ax             # what is behind the first sector
        movw    $0x0002, %cx
        movb    $0, %dh
        movw    $0x7e00, %bx
        int     $0x13
        jc      1f
        jmp     rest
1:      say     "no disk\n"
        jmp     end

print:  lodsb
        testb   %al, %al
        jz      1f
        outb    %al, $0xe9
        jmp     print
1:      ret

print_hex:                                      # AX
        pushaw
        movw    %ax, %dx
        movb    $32, %al
        outb    %al, $0xe9
        movw    $4, %cx
1:      rolw    $4, %dx
        movb    %dl, %al
        andb    $15, %al
        cmpb    $10, %al
        sbbb    $0x69, %al
        das
        outb    %al, $0xe9
        loop    1b
        popaw
        ret

print_carry:
        pushaw
        movw    saved_flags, %ax
        andb    $1, %al
        addb    $'0', %al
        movb    %al, 1f + 2
        movw    $1f, %si
        call    print
        popaw
        movw    saved_ax, %ax
        movw    saved_si, %si
        ret
1:      .asciz  " C0\n"

saved_ax: .word 0
saved_si: .word 0
saved_flags: .word 0
drive:  .byte   0

end:    movb    $0, %al
        outb    %al, $0xf4
        hlt

        .section .rest, "ax"
REST = 24
sum:                                            # of CX words at 9000h, into AX
        pushw   %cx
        pushw   %si
        xorw    %ax, %ax
        movw    $0x9000, %si
1:      addw    (%si), %ax
        rolw    $1, %ax
        addw    $2, %si
        loop    1b
        popw    %si
        popw    %cx
        ret

rest:   movb    drive, %dl                      # -- INT 13h
        movb    $8, %ah
        movw    $0, %di
        int     $0x13
        tell    "geometry", cx, dx
        movb    drive, %dl
        movw    $0x1500, %ax
        int     $0x13
        andw    $0xff00, %ax
        tell    "kind", ax, cx, dx
        movb    drive, %dl
        movw    $0x4100, %ax
        movw    $0x55aa, %bx
        int     $0x13
        andw    $0xff00, %ax
        tell    "extensions", ax, bx, cx
        movw    $0x0205, %ax
        movw    $0x0105, %cx
        movb    drive, %dl
        movb    $2, %dh
        movw    $0x9000, %bx
        int     $0x13
        tell    "read by geometry", ax
        movw    $1280, %cx
        call    sum
        tell    "sum", ax
        movw    $0x4200, %ax
        movb    drive, %dl
        movw    $packet, %si
        int     $0x13
        tell    "read by packet", ax
        movw    $2048, %cx
        call    sum
        tell    "sum", ax
        movw    $0x1234, 0x9000
        movw    $0x4300, %ax
        movb    drive, %dl
        movw    $packet, %si
        int     $0x13
        tell    "write by packet", ax
        movw    $0x5678, 0x9004
        movw    $0x0302, %ax
        movw    $0x0103, %cx
        movb    $1, %dh
        movb    drive, %dl
        movw    $0x9000, %bx
        int     $0x13
        tell    "write by geometry", ax
        movw    $0, 0x9004
        movw    $0x0201, %ax
        int     $0x13
        movw    0x9004, %ax
        tell    "read back", ax
        movw    $0x4200, %ax
        movb    drive, %dl
        movw    $beyond, %si
        int     $0x13
        sbbw    %ax, %ax
        tell    "read beyond the end", ax
        movw    $0x0201, %ax
        movb    $0x9f, %dl
        int     $0x13
        sbbw    %ax, %ax
        tell    "no drive", ax
        movw    $0x4800, %ax
        movb    drive, %dl
        movw    $parameters, %si
        int     $0x13
        tell    "parameters", ax
        movw    parameters + 4, %ax
        movw    parameters + 8, %bx
        movw    parameters + 12, %cx
        movw    parameters + 16, %dx
        tell    "cylinders, heads, sectors, size", ax, bx, cx, dx
        movw    parameters + 24, %ax
        tell    "sector size", ax
        movb    0x475, %al
        cbw
        tell    "drives", ax

        int     $0x12                           # -- memory
        tell    "low memory", ax
        movw    $0xe801, %ax
        xorw    %cx, %cx
        xorw    %dx, %dx
        int     $0x15
        movw    %cx, %ax
        tell    "memory below 16 MiB", ax
        movb    $0x88, %ah
        int     $0x15
        pushfw
        shrw    $8, %ax
        popfw
        tell    "extended memory", ax
        xorl    %ebx, %ebx
        movl    $0xe820, %eax
        movl    $0x534d4150, %edx
        movl    $20, %ecx
        movw    $0x9000, %di
        int     $0x15
        tell    "first piece of the map", ax, bx, cx
        movw    0x9008, %ax
        movw    0x900a, %bx
        movw    0x9010, %cx
        tell    "its size and kind", ax, bx, cx
        movw    $0x2402, %ax
        int     $0x15
        tell    "A20", ax
        movw    $0x2400, %ax
        int     $0x15
        movw    $0x2402, %ax
        int     $0x15
        tell    "A20 off", ax
        movw    $0x2401, %ax
        int     $0x15
        movw    $0x8700, %ax                    # 16 words from 7C00h to 1 MiB and a half, and back to 9000h
        movw    $descriptors, %si
        movw    $16, %cx
        int     $0x15
        tell    "move up", ax
        movl    $0x93180000, descriptors + 0x12
        movl    $0x93009000, descriptors + 0x1a
        movw    $0x8700, %ax
        int     $0x15
        movw    $16, %cx
        call    sum
        tell    "moved", ax
        movw    $0x8600, %ax
        movw    $0, %cx
        movw    $2000, %dx
        int     $0x15
        sbbw    %ax, %ax
        tell    "wait 2 ms", ax
        movw    $0xffff, %ax
        int     $0x15
        movb    $0, %al
        tell    "no such function", ax

        movw    $0x0003, %ax                    # -- INT 10h
        int     $0x10
        movw    $0x0f00, %ax
        int     $0x10
        tell    "mode", ax
        movw    $0x0200, %ax
        movw    $0x1820, %dx
        movw    $0, %bx
        int     $0x10
        movw    $0x0e41, %ax                    # a letter and a new line in the last row: this scrolls
        int     $0x10
        movw    $0x0e0d, %ax
        int     $0x10
        movw    $0x0e0a, %ax
        int     $0x10
        movw    $0x0300, %ax
        int     $0x10
        tell    "cursor", cx, dx
        movw    $0x0200, %ax
        movw    $0x1720, %dx
        int     $0x10
        movw    $0x0800, %ax
        int     $0x10
        tell    "character above", ax
        movw    $0x0958, %ax
        movw    $0x001f, %bx
        movw    $3, %cx
        int     $0x10
        movw    $0x0602, %ax                    # a window up by two
        movw    $0x4e00, %bx
        movw    $0x0000, %cx
        movw    $0x174f, %dx
        int     $0x10
        movw    $0x0200, %ax
        movw    $0x1521, %dx
        movw    $0, %bx
        int     $0x10
        movw    $0x0800, %ax
        int     $0x10
        tell    "scrolled", ax
        movw    $0x0200, %ax
        movw    $0x1721, %dx
        int     $0x10
        movw    $0x0800, %ax
        int     $0x10
        tell    "blank", ax
        movw    $0x1301, %ax
        movw    $0x002a, %bx
        movw    $5, %cx
        movw    $0x0203, %dx
        movw    $text, %bp
        int     $0x10
        movw    $0x0300, %ax
        movw    $0, %bx
        int     $0x10
        tell    "after a string", dx
        movw    $0xb800, %ax
        movw    %ax, %fs
        movw    %fs:(2 * 80 + 3) * 2, %ax
        tell    "text memory", ax
        movw    $0x1a00, %ax
        int     $0x10
        tell    "display", ax, bx
        movw    $0x1015, %ax
        movw    $0x003c, %bx
        int     $0x10
        movw    %cx, %ax
        tell    "colour", ax
        movw    $0x1130, %ax
        movb    $6, %bh
        int     $0x10
        pushw   %ds
        popw    %es
        movw    %cx, %ax
        tell    "font", ax

        movw    $0x0200, %ax                    # -- INT 16h, 1Ah, 11h
        int     $0x16
        cbw
        tell    "shift flags", ax
        movw    $0x0500, %ax
        movw    $0x3b00, %cx
        int     $0x16
        movw    $0x0100, %ax
        int     $0x16
        tell    "next key", ax
        movw    $0x0000, %ax
        int     $0x16
        movw    $0x0100, %ax
        int     $0x16
        setzb   %al
        movb    $0, %ah
        tell    "no key left", ax
        int     $0x11
        andw    $0x30, %ax
        tell    "video equipment", ax
        movw    $0xb101, %ax
        xorl    %edi, %edi
        int     $0x1a
        movw    %dx, %cx
        shrl    $16, %edx
        clc
        tell    "PCI", bx, cx, dx
        movw    $0xb102, %ax
        movw    $0x7000, %cx
        movw    $0x8086, %dx
        movw    $0, %si
        int     $0x1a
        movb    $0, %al
        tell    "PIIX3", ax, bx
        movw    $0xb109, %ax
        movw    $0, %di
        int     $0x1a
        tell    "its vendor", cx
        movw    $0xb103, %ax
        movl    $0x030000, %ecx
        movw    $0, %si
        int     $0x1a
        movb    $0, %al
        tell    "VGA", ax, bx
        movw    $0xb102, %ax
        movw    $0x7777, %cx
        movw    $0x8086, %dx
        movw    $0, %si
        int     $0x1a
        movb    $0, %al
        tell    "no card", ax
        movw    $0x0300, %ax
        movw    $0x1234, %cx
        movw    $0x0000, %dx
        int     $0x1a
        movw    $0x0200, %ax
        int     $0x1a
        movw    %cx, %ax
        tell    "time", ax
        movw    $0x0500, %ax
        movw    $0x1999, %cx
        movw    $0x1231, %dx
        int     $0x1a
        movw    $0x0400, %ax
        int     $0x1a
        movw    %cx, %ax
        tell    "date", ax, dx
        movw    $0x0100, %ax
        movw    $0x0012, %cx
        movw    $0x3400, %dx
        int     $0x1a
        movw    $0x0000, %ax
        int     $0x1a
        movb    $0, %ah
        movb    $0, %dl
        tell    "ticks", ax, cx, dx
1:      hlt                                     # a tick more
        movw    0x46c, %ax
        cmpb    $0, %al
        je      1b

        movw    $0x4f00, %ax                    # -- VBE
        movw    $0x9000, %di
        movl    $0x32454256, 0x9000
        int     $0x10
        tell    "VBE", ax
        movw    0x9000, %ax
        movw    0x9012, %bx
        tell    "signature and memory", ax, bx
        movw    $0x4f01, %ax
        movw    $0x0112, %cx
        int     $0x10
        tell    "mode information", ax
        movw    0x9010, %ax
        movw    0x9012, %bx
        movw    0x9014, %cx
        movw    0x9019, %dx
        tell    "line, width, height, bits", ax, bx, cx, dx
        movw    $0x4f02, %ax
        movw    $0x4112, %bx
        int     $0x10
        tell    "set mode", ax
        movw    $0x4f03, %ax
        int     $0x10
        tell    "get mode", ax, bx
        movw    $0x4f06, %ax
        movb    $1, %bl
        int     $0x10
        tell    "line length", ax, bx, cx
        movw    $0x4f02, %ax
        movw    $0x01ff, %bx
        int     $0x10
        tell    "no mode", ax
        jmp     end

text:   .ascii  "Hello"
        .balign 4
packet: .byte   16, 0
        .word   8, 0x9000, 0
        .quad   100
beyond: .byte   16, 0
        .word   8, 0x9000, 0
        .quad   0x10000000
parameters: .word 30
        .space  30
        .balign 8
descriptors:
        .quad   0, 0
        .word   31, 0x7c00, 0x9300, 0
        .word   31, 0x0000, 0x9318, 0
        .quad   0, 0
