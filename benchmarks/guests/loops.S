# Three loops of 64-bit code; the count is the argument, the sum the result.

        .text
        .globl  registers, memory, calls
registers:                              # 8 instructions a turn
        movl    $3, %esi
        movl    $5, %ecx
        xorl    %eax, %eax
1:      addq    %rsi, %rax
        leaq    7(%rcx, %rax), %rdx
        xorq    %rdx, %rcx
        shrq    $3, %rdx
        subq    %rdx, %rsi
        andq    $0x7fffffff, %rcx
        decq    %rdi
        jnz     1b
        ret

memory:                                 # 8 instructions a turn
        movl    $buffer, %esi
        xorl    %ecx, %ecx
        xorl    %eax, %eax
1:      movq    (%rsi, %rcx), %rdx
        addq    %rdx, %rax
        movq    %rax, 2048(%rsi, %rcx)
        addq    8(%rsi, %rcx), %rax
        addq    $8, %rcx
        andl    $1016, %ecx
        decq    %rdi
        jnz     1b
        ret

calls:                                  # 7 instructions a turn
        movl    $1, %esi
1:      call    2f
        decq    %rdi
        jnz     1b
        ret
2:      pushq   %rsi
        addq    %rsi, %rax
        popq    %rsi
        ret

        .bss
        .balign 4096
buffer: .skip   4096
