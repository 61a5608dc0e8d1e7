# 64-bit mode: exceptions with IST and changes of level, system calls, paging with NX, SMEP and SMAP.

        .include "console32.inc"

        .equ    CODE_32, 0x08
        .equ    DATA, 0x10
        .equ    CODE, 0x18
        .equ    USER_CODE_32, 0x23
        .equ    USER_DATA, 0x2b
        .equ    USER_CODE, 0x33
        .equ    TASK, 0x38
        .equ    GATE, 0x48 + 3

        .text
        .globl  _start
        .balign 4
        .long   0x1BADB002, 0, -0x1BADB002
_start: movl    $stack_top, %esp
        movb    $0xff, %al                      # no interrupts of devices
        outb    %al, $0x21
        outb    %al, $0xa1
        movl    $level_3, %eax                  # 1 GiB by pages of 2 MiB, all for users
        orl     $7, %eax
        movl    %eax, level_4
        movl    $level_2, %eax
        orl     $7, %eax
        movl    %eax, level_3
        movl    $level_2, %edi
        movl    $0x87, %eax
        movl    $512, %ecx
1:      movl    %eax, (%edi)
        movl    $0, 4(%edi)
        addl    $0x200000, %eax
        addl    $8, %edi
        loop    1b
        movl    $level_1, %eax                  # but of 4 KiB from 4 MiB on
        orl     $7, %eax
        movl    %eax, level_2 + 16
        movl    $0x400003, level_1              # supervisor
        movl    $0x401007, level_1 + 8          # no-execute
        movl    $0x80000000, level_1 + 12
        movl    $0x402005, level_1 + 16         # read-only
        movl    $0x400003, level_1 + 32         # the first page again
        movl    $level_4, %eax
        movl    %eax, %cr3
        movl    $0x10620, %eax                  # PAE, OSFXSR, OSXMMEXCPT, FSGSBASE
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx
        movl    $0x901, %eax                    # NXE, LME, SCE
        xorl    %edx, %edx
        wrmsr
        movl    $0x80010011, %eax
        movl    %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $CODE, $long_mode

        .code64
print_64:
        pushq   %rax
1:      movb    (%rsi), %al
        incq    %rsi
        testb   %al, %al
        jz      2f
        outb    %al, $0xe9
        jmp     1b
2:      popq    %rax
        ret

print_hex_64:                                   # RAX
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        movq    %rax, %rdx
        movl    $16, %ecx
1:      rolq    $4, %rdx
        movb    %dl, %al
        andb    $15, %al
        addb    $48, %al
        cmpb    $58, %al
        jb      2f
        addb    $7, %al
2:      outb    %al, $0xe9
        loop    1b
        movb    $32, %al
        outb    %al, $0xe9
        popq    %rdx
        popq    %rcx
        popq    %rax
        ret

        .macro  say64 text
        pushq   %rsi
        leaq    901f(%rip), %rsi
        call    print_64
        popq    %rsi
        jmp     902f
901:    .asciz  "\text"
902:
        .endm

        .macro  show64 value
        pushq   %rax
        movq    \value, %rax
        call    print_hex_64
        popq    %rax
        .endm

        .macro  newline64
        pushq   %rax
        movb    $10, %al
        outb    %al, $0xe9
        popq    %rax
        .endm

        .macro  try name
        say64   "\name: "
        movq    $911f, resume_at
        movq    $910f, began_at
        movq    %rsp, resume_stack
910:
        .endm

        .macro  tried
        say64   "no fault"
        newline64
911:
        .endm

        .macro  user_try name
        say64   "\name: "
        movq    $911f, resume_at
        movq    $920f, began_at
        movq    %rsp, resume_stack
        pushq   $USER_DATA
        pushq   $user_stack
        pushq   $0x202
        pushq   $USER_CODE
        pushq   $920f
        iretq
920:
        .endm

        .macro  user_tried
        int     $0x41
911:
        .endm

        .macro  set_base selector, place
        movl    $\place, %eax
        movw    %ax, gdt + \selector + 2
        shrl    $16, %eax
        movb    %al, gdt + \selector + 4
        movb    %ah, gdt + \selector + 7
        .endm

long_mode:
        movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movq    $stack_top, %rsp
        call    fill_table
        lidt    idt_pointer
        set_base TASK, task
        movl    $TASK, %eax
        ltr     %ax
        call    faults
        call    pages
        call    user
        call    calls
        finish

faults: try     "divide"
        xorl    %ecx, %ecx
        divq    %rcx
        tried
        try     "undefined in 64-bit mode"
        .byte   0x06
        tried
        try     "not canonical"
        movq    $0x0000800000000000, %rbx
        movq    (%rbx), %rax
        tried
        try     "not canonical by stack"
        movq    $0xffff7ffffffffff8, %rbp
        movq    (%rbp), %rax
        tried
        try     "jump to not canonical"
        jmp     *%rbx
        tried
        try     "return to not canonical"
        pushq   %rbx
        ret
        tried
        try     "null stack selector"
        xorl    %eax, %eax
        movl    %eax, %ss
        movl    $DATA, %eax
        movl    %eax, %ss
        tried
        try     "system selector"
        movl    $TASK, %eax
        movl    %eax, %fs
        tried
        try     "unaligned 16 bytes"
        cmpxchg16b scratch + 8
        tried
        try     "interrupt with a stack of its own"
        int     $0x42
        tried
        try     "FS base"
        movq    $scratch, %rax
        wrfsbase %rax
        movq    $0x1234567890abcdef, %rax
        movq    %rax, %fs:8
        movq    scratch + 8, %rbx
        show64  %rbx
        tried
        try     "FS base, not canonical"
        movq    $0x8000000000000000, %rax
        wrfsbase %rax
        tried
        try     "swapped GS"
        movl    $0xc0000102, %ecx
        movl    $scratch, %eax
        xorl    %edx, %edx
        wrmsr
        swapgs
        movq    %gs:8, %rax
        show64  %rax
        rdgsbase %rax
        swapgs
        rdgsbase %rdx
        show64  %rdx
        tried
        try     "MSR, not canonical"
        movl    $0xc0000082, %ecx
        xorl    %eax, %eax
        movl    $0x8000, %edx
        wrmsr
        tried
        try     "CR8"
        movl    $9, %eax
        movq    %rax, %cr8
        movq    %cr8, %rcx
        show64  %rcx
        xorl    %eax, %eax
        movq    %rax, %cr8
        tried
        try     "compatibility mode"
        pushq   $CODE_32
        pushq   $911f
        lretq
        .code32
911:    movl    $0x12345678, %eax
        decl    %eax
        pushl   %eax
        popl    %ecx
        ljmp    $CODE, $912f
        .code64
912:    show64  %rcx
        newline64
        try     "undefined in compatibility mode"
        pushq   $CODE_32
        pushq   $910f
        lretq
        .code32
910:    ud2
        .code64
        tried
        ret

pages:  movl    $0x400000, %ebx
        try     "no-execute"
        movb    $0xc3, 0x1000(%rbx)
        leaq    0x1000(%rbx), %rax
        call    *%rax
        tried
        try     "read-only"
        movq    %rax, 0x2000(%rbx)
        tried
        try     "absent"
        movq    0x3000(%rbx), %rax
        tried
        try     "across"
        movq    0x2ffc(%rbx), %rax
        tried
        try     "beyond the tables"
        movq    $0x8000000000, %rax
        movq    (%rax), %rax
        tried
        movb    $0xc3, (%rbx)
        try     "alias"                         # the code of one page, changed through another one
        call    *%rbx
        movl    $0x00c3c089, 0x4000(%rbx)
        call    *%rbx
        tried
        movq    %cr4, %rax                      # SMEP, SMAP
        orq     $0x300000, %rax
        movl    $0x83, level_2                  # the program's own pages are the supervisor's
        movq    %rax, %cr4
        try     "execution of a user page"
        movl    $0xa00000, %eax
        jmp     *%rax
        tried
        try     "access to a user page"
        movq    0xa00000, %rax
        tried
        try     "access that is allowed"
        stac
        movq    0xa00000, %rax
        clac
        tried
        movq    %cr4, %rax
        andq    $~0x300000, %rax
        movq    %rax, %cr4
        ret

user:   movl    $0x87, level_2
        movq    %cr3, %rax
        movq    %rax, %cr3
        user_try "trap"
        nop
        user_tried
        user_try "privileged"
        hlt
        user_tried
        user_try "port"
        inb     $0x80, %al
        user_tried
        user_try "supervisor page"
        movq    0x400000, %rax
        user_tried
        user_try "kernel gate"
        int     $0x42
        user_tried
        user_try "CPUID is allowed, CLAC is not"
        cpuid
        clac
        user_tried
        user_try "call gate"
        lcall   *gate_pointer
        int     $0x41
        user_tried
        ret

calls:  movl    $0xc0000081, %ecx               # STAR, LSTAR, FMASK
        xorl    %eax, %eax
        movl    $0x00200018, %edx               # SYSCALL loads 18h and 20h, SYSRET 30h and 28h
        wrmsr
        incl    %ecx
        movl    $system_call, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $0xc0000084, %ecx
        movl    $0x200, %eax
        wrmsr
        user_try "SYSCALL"
        movq    $0x55, %rdi
        syscall
        movq    %rax, %rsi
        int     $0x41
        user_tried
        movl    $0x174, %ecx                    # SYSENTER
        movl    $CODE, %eax
        xorl    %edx, %edx
        wrmsr
        incl    %ecx
        movl    $stack_top - 0x1000, %eax
        wrmsr
        incl    %ecx
        movl    $fast_call, %eax
        wrmsr
        user_try "SYSENTER"
        sysenter
        user_tried
        ret

system_call:
        show64  %rdi
        movl    %cs, %eax
        show64  %rax
        movl    %ss, %eax
        show64  %rax
        pushfq
        popq    %rax
        andq    $0x3200, %rax
        show64  %rax
        movq    %rcx, %rax
        subq    began_at, %rax
        show64  %rax
        movq    $0x99, %rax
        sysretq

fast_call:
        movl    %cs, %eax
        show64  %rax
        movl    %ss, %eax
        show64  %rax
        pushfq
        popq    %rax
        andq    $0x3200, %rax
        show64  %rax
        int     $0x41

gate_target:
        say64   "gate "
        movl    %cs, %eax
        show64  %rax
        movl    %ss, %eax
        show64  %rax
        movq    24(%rsp), %rax
        show64  %rax
        lretq

        .altmacro
        .macro  stub number
1:      .if     \number == 8 || (\number >= 10 && \number <= 14) || \number == 17
        .else
        pushq   $0x7777
        .endif
        pushq   $\number
        jmp     common
        .pushsection .data
        .quad   1b
        .popsection
        .endm

        .data
handlers:
        .text
        .set    count, 0
        .rept   0x43
        stub    %count
        .set    count, count + 1
        .endr
        .noaltmacro

common: movq    %rsp, %rbp
        say64   "vector "
        show64  0(%rbp)
        say64   "code "
        show64  8(%rbp)
        say64   "at "
        movq    16(%rbp), %rax
        subq    began_at, %rax
        show64  %rax
        say64   "cs "
        show64  24(%rbp)
        say64   "flags "
        movq    32(%rbp), %rax
        andq    $0x27300, %rax                  # without RF, which not every emulator sets
        show64  %rax
        say64   "ss "
        show64  48(%rbp)
        cmpq    $0x42, 0(%rbp)
        jne     1f
        say64   "stack "
        show64  %rbp
1:      cmpq    $14, 0(%rbp)
        jne     2f
        say64   "cr2 "
        movq    %cr2, %rax
        show64  %rax
2:      newline64
        movl    $DATA, %eax
        movl    %eax, %ss
        movl    %eax, %ds
        movq    resume_stack, %rsp
        pushq   $2
        popfq
        jmp     *resume_at

fill_table:
        movl    $idt, %edi
        xorl    %ecx, %ecx
1:      movq    handlers(, %rcx, 8), %rax
        movw    %ax, (%rdi)
        movw    $CODE, 2(%rdi)
        movw    $0x8e00, 4(%rdi)
        shrq    $16, %rax
        movw    %ax, 6(%rdi)
        movq    $0, 8(%rdi)
        addl    $16, %edi
        incl    %ecx
        cmpl    $0x43, %ecx
        jb      1b
        movb    $0xee, idt + 0x41 * 16 + 5
        movb    $3, idt + 0x42 * 16 + 4
        movl    $gate_target, %eax
        movw    %ax, gdt + 0x48
        shrl    $16, %eax
        movw    %ax, gdt + 0x4e
        ret

        .data
        .balign 16
gdt:    .quad   0
        .quad   0x00cf9b000000ffff
        .quad   0x00cf93000000ffff
        .quad   0x00af9b000000ffff
        .quad   0x00cffb000000ffff
        .quad   0x00cff3000000ffff
        .quad   0x00affb000000ffff
        .quad   0x0000890000000067, 0
        .word   0, CODE, 0xec00, 0, 0, 0, 0, 0
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .quad   gdt
idt_pointer:
        .word   0x43 * 16 - 1
        .quad   idt
gate_pointer:
        .long   0
        .word   GATE
        .balign 8
task:   .long   0
        .quad   stack_top - 0x1000, 0, 0, 0
        .quad   0, 0, stack_top - 0x2008, 0, 0, 0, 0, 0
        .long   0x680000
        .balign 16
scratch:
        .quad   0, 0, 0, 0

        .bss
        .balign 4096
level_4: .skip  4096
level_3: .skip  4096
level_2: .skip  4096
level_1: .skip  4096
idt:    .skip   0x43 * 16
        .skip   4096
user_stack:
        .skip   0x4000
stack_top:
resume_at: .quad 0
resume_stack: .quad 0
began_at: .quad 0
