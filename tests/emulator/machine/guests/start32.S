# Calls main in 32-bit protected mode, with SSE switched on, and ends the machine with its result.

        .text
        .globl  _start, put
        .balign 4
        .long   0x1BADB002, 0, -0x1BADB002
_start: movl    $stack_top, %esp
        movl    %cr0, %eax
        andl    $~4, %eax               # EM
        orl     $2, %eax                # MP
        movl    %eax, %cr0
        movl    %cr4, %eax
        orl     $0x600, %eax            # OSFXSR, OSXMMEXCPT
        movl    %eax, %cr4
        fninit
        andl    $-16, %esp
        call    main
        outb    %al, $0xf4
1:      hlt
        jmp     1b

put:    movb    4(%esp), %al
        outb    %al, $0xe9
        ret

        .bss
        .balign 16
        .skip   65536
stack_top:
