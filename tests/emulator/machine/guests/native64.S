# The same as start64.S for a Linux process.

        .text
        .globl  _start, put
_start: andq    $-16, %rsp
        call    main
        movl    %eax, %edi
        movl    $60, %eax
        syscall

put:    pushq   %rdi
        movl    $1, %eax
        movl    $1, %edi
        movq    %rsp, %rsi
        movl    $1, %edx
        syscall
        popq    %rdi
        ret
