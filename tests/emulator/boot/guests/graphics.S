# A boot sector that draws in the video mode whose number is at the end of its first sector, and says when it is done.

        .code16
        .text
        .globl  _start

_start: ljmp    $0, $begin
begin:  xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %ss
        movw    $0x7c00, %sp
        cld
        sti
        movw    $0x0204, %ax
        movw    $0x0002, %cx
        movb    $0, %dh
        movw    $0x7e00, %bx
        movw    %ds, %si
        movw    %si, %es
        int     $0x13
        movw    mode, %ax
        testb   %ah, %ah
        jnz     vesa
        int     $0x10
        movw    mode, %ax
        cmpb    $0x13, %al
        je      bytes
        cmpb    $0x0d, %al
        jae     planes
        jmp     text

done:   movb    $33, %al
        outb    %al, $0xe9
1:      hlt
        jmp     1b

        .org    508
mode:   .word   3

        .section .rest, "ax"
text:   movw    $0x1100, %ax                    # four glyphs of our own, and one that is a line
        movw    $0x1000, %bx
        movw    $4, %cx
        movw    $0x41, %dx
        movw    $glyphs, %bp
        int     $0x10
        movw    $0x1100, %ax
        movw    $0x1000, %bx
        movw    $1, %cx
        movw    $0xc4, %dx
        movw    $glyphs, %bp
        int     $0x10
        movw    $0x0103, %ax                    # no cursor: it blinks
        movw    $0x2000, %cx
        movb    $1, %ah
        int     $0x10
        movw    $0xb800, %ax
        movw    %ax, %es
        xorw    %di, %di
        movw    $0x0041, %ax
1:      stosw
        incb    %al
        andb    $0x43, %al
        orb     $0x41, %al
        addb    $0x07, %ah
        andb    $0x7f, %ah                      # nothing blinks
        cmpw    $4000, %di
        jb      1b
        movw    $0x1ec4, %es:162
        jmp     done

bytes:  movw    $0xa000, %ax
        movw    %ax, %es
        xorw    %di, %di
1:      movw    %di, %ax
        addb    %ah, %al
        stosb
        cmpw    $64000, %di
        jb      1b
        jmp     done

        .macro  set port, index, value
        movw    $\port, %dx
        movw    $(\value << 8 | \index), %ax
        outw    %ax, %dx
        .endm

planes: movw    $0xa000, %ax
        movw    %ax, %es
        set     0x3c4, 2, 5                     # write mode 0, planes 0 and 2
        xorw    %di, %di
        movw    $3000, %cx
1:      movw    %di, %ax
        stosb
        loop    1b
        set     0x3c4, 2, 15
        set     0x3ce, 0, 9                     # set and reset, with a mask of bits
        set     0x3ce, 1, 15
        set     0x3ce, 8, 0x3c
        movw    $2000, %di
        movw    $1000, %cx
1:      movb    %es:(%di), %al                  # fills the latches
        stosb
        loop    1b
        set     0x3ce, 1, 0
        set     0x3ce, 8, 255
        set     0x3ce, 3, 0x1b                  # exclusive or, turned by 3
        movw    $1500, %di
        movw    $700, %cx
1:      movb    %es:(%di), %al
        movb    $0xa7, %al
        stosb
        loop    1b
        set     0x3ce, 3, 0
        set     0x3ce, 5, 1                     # write mode 1: copy by the latches
        movw    $4000, %di
        movw    $1500, %si
        movw    $1500, %cx
1:      movb    %es:(%si), %al
        incw    %si
        stosb
        loop    1b
        set     0x3ce, 5, 2                     # write mode 2: a colour
        set     0x3ce, 8, 0x55
        movw    $5200, %di
        movw    $1000, %cx
1:      movb    %es:(%di), %al
        movw    %di, %ax
        stosb
        loop    1b
        set     0x3ce, 5, 3                     # write mode 3: the byte is a mask
        set     0x3ce, 8, 0xfc
        set     0x3ce, 0, 12
        movw    $5700, %di
        movw    $1000, %cx
1:      movb    %es:(%di), %al
        movw    %di, %ax
        stosb
        loop    1b
        set     0x3ce, 5, 8                     # read mode 1: compare colours, and write what was found
        set     0x3ce, 8, 255
        set     0x3ce, 2, 5
        set     0x3ce, 7, 13
        movw    $6600, %di
        xorw    %si, %si
        movw    $800, %cx
1:      movb    %es:(%si), %al
        addw    $8, %si
        stosb
        loop    1b
        set     0x3ce, 5, 0
        set     0x3ce, 0, 0
        movw    $0x0c0e, %ax                    # points by the BIOS
        movw    $30, %cx
        movw    $0, %bx
        movw    $150, %dx
1:      pushw   %cx
        pushw   %dx
        int     $0x10
        popw    %dx
        popw    %cx
        movw    $0x0c0e, %ax
        incw    %cx
        incw    %dx
        cmpw    $190, %dx
        jb      1b
        jmp     done

vesa:   movw    %ax, %bx
        movw    $0x4f02, %ax
        int     $0x10
        xorw    %dx, %dx                        # banks of 64 KiB, eight of them
1:      movw    $0x4f05, %ax
        xorw    %bx, %bx
        int     $0x10
        movw    $0xa000, %ax
        movw    %ax, %es
        xorw    %di, %di
        movw    %dx, %ax
        movb    %al, %ah
2:      stosw
        addw    $0x0103, %ax
        testw   %di, %di
        jnz     2b
        incw    %dx
        cmpw    $8, %dx
        jb      1b
        movw    $0x4f07, %ax                    # the picture begins in the third line
        xorw    %bx, %bx
        movw    $0, %cx
        movw    $2, %dx
        int     $0x10
        jmp     done

glyphs: .byte   0x00, 0x18, 0x3c, 0x7e, 0xff, 0xff, 0x7e, 0x3c, 0x18, 0x00, 0x81, 0x42, 0x24, 0x18, 0x00, 0xff
        .byte   0xf0, 0xf0, 0xf0, 0xf0, 0x0f, 0x0f, 0x0f, 0x0f, 0xf0, 0xf0, 0xf0, 0xf0, 0x0f, 0x0f, 0x0f, 0x0f
        .byte   0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80
        .byte   0xaa, 0x55, 0xaa, 0x55, 0xaa, 0x55, 0xaa, 0x55, 0xaa, 0x55, 0xaa, 0x55, 0xaa, 0x55, 0xaa, 0x55
