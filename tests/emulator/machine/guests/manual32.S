# What other emulators leave out, in 32-bit protected mode. Every line is what the manual says.

        .include "console32.inc"

        .equ    CODE, 0x08
        .equ    DATA, 0x10

        .text
        .globl  _start
        .balign 4
        .long   0x1BADB002, 0, -0x1BADB002
_start: movl    $stack_top, %esp
        lgdt    gdt_pointer
        ljmp    $CODE, $1f
1:      movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $0, %ecx                # all vectors lead to `handler`
2:      movl    $handler, %eax
        movw    %ax, idt(, %ecx, 8)
        movw    $CODE, idt + 2(, %ecx, 8)
        movw    $0x8e00, idt + 4(, %ecx, 8)
        shrl    $16, %eax
        movw    %ax, idt + 6(, %ecx, 8)
        incl    %ecx
        cmpl    $32, %ecx
        jb      2b
        lidt    idt_pointer

        movl    %esp, resume_stack
        say     "reserved bit of CR4: "
        movl    $1f, resume_at
        movl    $0x80000000, %eax
        movl    %eax, %cr4
1:      newline
        say     "paging without protection: "
        movl    $1f, resume_at
        movl    $0x80000000, %eax
        movl    %eax, %cr0
1:      newline
        say     "write-through without the cache: "
        movl    $1f, resume_at
        movl    $0x20000011, %eax
        movl    %eax, %cr0
1:      newline
        say     "flags of a fault: "
        movl    $1f, resume_at
        pushl   $2
        popfl
        divb    zero
1:      newline
        say     "flags of a trap: "
        movl    $1f, resume_at
        int3
1:      newline
        finish

handler:                                # the frame, without what is in it before a fault's error code
        movl    %esp, %ebp
        show    (%ebp)
        show    4(%ebp)
        show    8(%ebp)
        movl    resume_stack, %esp
        jmp     *resume_at

        .data
        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff
        .quad   0x00cf93000000ffff
gdt_pointer:
        .word   23
        .long   gdt
idt_pointer:
        .word   32 * 8 - 1
        .long   idt

        .bss
        .balign 8
idt:    .skip   32 * 8
        .skip   4096
stack_top:
resume_at: .long 0
zero:   .long   0
resume_stack: .long 0
