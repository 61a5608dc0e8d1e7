# The same as start32.S for a Linux process.

        .text
        .globl  _start, put
_start: andl    $-16, %esp
        call    main
        movl    %eax, %ebx
        movl    $1, %eax
        int     $0x80

put:    pushl   %ebx
        movl    $4, %eax
        movl    $1, %ebx
        leal    8(%esp), %ecx
        movl    $1, %edx
        int     $0x80
        popl    %ebx
        ret
