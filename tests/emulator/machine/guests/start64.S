# Calls main in 64-bit mode, with the first GiB mapped and SSE switched on, and ends the machine with its result.

        .text
        .code32
        .globl  _start, put
        .balign 4
        .long   0x1BADB002, 0, -0x1BADB002
_start: movl    $stack_top, %esp
        movl    $level_3, %eax
        orl     $3, %eax
        movl    %eax, level_4
        movl    $level_2, %eax
        orl     $3, %eax
        movl    %eax, level_3
        movl    $level_2, %edi
        movl    $0x83, %eax
        movl    $512, %ecx
1:      movl    %eax, (%edi)
        movl    $0, 4(%edi)
        addl    $0x200000, %eax
        addl    $8, %edi
        loop    1b
        movl    $level_4, %eax
        movl    %eax, %cr3
        movl    $0x620, %eax            # PAE, OSFXSR, OSXMMEXCPT
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx
        movl    $0x100, %eax            # LME
        xorl    %edx, %edx
        wrmsr
        movl    $0x80000013, %eax       # PG, MP, PE
        movl    %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $8, $1f
        .code64
1:      movl    $16, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        fninit
        andq    $-16, %rsp
        call    main
        outb    %al, $0xf4
1:      hlt
        jmp     1b

put:    movl    %edi, %eax
        outb    %al, $0xe9
        ret

        .data
        .balign 8
gdt:    .quad   0
        .quad   0x00af9b000000ffff
        .quad   0x00cf93000000ffff
gdt_pointer:
        .word   23
        .long   gdt

        .bss
        .balign 4096
level_4: .skip  4096
level_3: .skip  4096
level_2: .skip  4096
        .skip   65536
stack_top:
