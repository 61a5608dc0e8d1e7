# A boot sector: real mode, the services of the firmware, interrupts of the timer, 16-bit addressing.

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

_start: ljmp    $0, $begin
begin:  xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        cld
        sti
        pushw   %dx
        say     "first sector\n"
        popw    %dx
        movw    $0x0203, %ax                    # three sectors behind the first one
        movw    $0x0002, %cx
        movb    $0, %dh
        movw    $0x7e00, %bx
        int     $0x13
        jc      failed
        jmp     second
failed: say     "no disk\n"
        hlt

print:  lodsb
        testb   %al, %al
        jz      1f
        outb    %al, $0xe9
        jmp     print
1:      ret

print_hex:                                      # AX
        pushaw
        movw    %ax, %dx
        movw    $4, %cx
1:      rolw    $4, %dx
        movb    %dl, %al
        andb    $15, %al
        cmpb    $10, %al
        sbbb    $0x69, %al
        das
        outb    %al, $0xe9
        loop    1b
        movb    $32, %al
        outb    %al, $0xe9
        popaw
        ret

        .section .rest, "ax"
second: say     "second sector\n"
        movw    $0x4100, %ax                    # extensions, and a read by packet
        movw    $0x55aa, %bx
        int     $0x13
        movw    %bx, %ax
        call    print_hex
        movw    $0x4200, %ax
        movw    $packet, %si
        int     $0x13
        movw    0x9000 + 510, %ax
        call    print_hex
        movw    $0x0201, %ax                    # sector 0 does not exist
        movw    $0x0000, %cx
        movb    $0, %dh
        movw    $0x9200, %bx
        int     $0x13
        sbbw    %ax, %ax
        call    print_hex
        say     "\n"

        movw    $divide, 0                      # exceptions, through the IVT
        movw    $0, 2
        movw    $undefined, 6 * 4
        movw    $0, 6 * 4 + 2
        movw    $trap, 0x60 * 4
        movw    $0, 0x60 * 4 + 2
        xorw    %cx, %cx
        divw    %cx
        ud2
        int     $0x60
        say     "\n"

        movw    $0x1000, %ax                    # segments, strings that wrap around
        movw    %ax, %es
        movw    $0xfffe, %di
        movw    $0x4142, %ax
        movw    $2, %cx
        rep stosw
        movw    %di, %ax
        call    print_hex
        movw    %es:0, %ax
        call    print_hex
        movw    $0x2000, %ax
        movw    %ax, %fs
        movw    $0x8000, %bx
        movw    $0x8010, %si
        movw    $0x1357, %fs:0x12(%bx, %si)
        movw    %fs:0x22, %ax
        call    print_hex
        movl    $0x12345678, %eax
        pushl   %eax
        popw    %bx
        popw    %ax
        call    print_hex
        pushfw
        popw    %ax
        andw    $0xf200, %ax
        call    print_hex
        say     "\n"

        movl    %cr0, %eax                      # protected mode with 16-bit code, and back with long limits
        orb     $1, %al
        lgdt    table
        cli
        movl    %eax, %cr0
        movw    $8, %bx
        movw    %bx, %fs
        andb    $0xfe, %al
        movl    %eax, %cr0
        xorw    %bx, %bx
        movw    %bx, %fs
        movl    $0x00123450, %ebx
        movl    $0xcafe, %fs:(%ebx)
        movl    %fs:(%ebx), %eax
        call    print_hex
        say     "\n"

        movw    $tick, 8 * 4                    # the timer, at 1 kHz
        movw    $0, 8 * 4 + 2
        movb    $0x34, %al
        outb    %al, $0x43
        movb    $1193 & 255, %al
        outb    %al, $0x40
        movb    $1193 >> 8, %al
        outb    %al, $0x40
        sti
1:      hlt
        cmpw    $5, ticks
        jb      1b
        say     "five ticks\n"
        movw    $0, ticks
2:      cmpw    $5, ticks                       # the same without HLT
        jb      2b
        say     "five more\n"
        movb    $1, %al
        outb    %al, $0xf4
        hlt

tick:   pushw   %ax
        incw    %cs:ticks
        movb    $0x20, %al
        outb    %al, $0x20
        popw    %ax
        iret

divide: pushw   %bp
        movw    %sp, %bp
        addw    $2, 2(%bp)
        popw    %bp
        movw    $0xde, %ax
        call    print_hex
        iret

undefined:
        pushw   %bp
        movw    %sp, %bp
        addw    $2, 2(%bp)
        movw    6(%bp), %ax
        andw    $0x7200, %ax
        call    print_hex
        popw    %bp
        iret

trap:   movw    $0x60, %ax
        call    print_hex
        pushfw
        popw    %ax
        andw    $0x200, %ax
        call    print_hex
        iret

ticks:  .word   0
packet: .byte   16, 0
        .word   1, 0x9000, 0
        .quad   0
        .balign 8
gdt:    .quad   0, 0x00cf93000000ffff
table:  .word   15
        .long   gdt
