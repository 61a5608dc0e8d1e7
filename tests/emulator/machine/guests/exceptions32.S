# Exceptions and protection in 32-bit protected mode: every fault's vector, error code, place and flags.

        .include "console32.inc"

        .equ    CODE, 0x08
        .equ    DATA, 0x10
        .equ    USER_CODE, 0x1b
        .equ    USER_DATA, 0x23
        .equ    TASK, 0x28
        .equ    SMALL, 0x30             # 16 bytes, expand-up
        .equ    READ_ONLY, 0x38
        .equ    EXECUTE_ONLY, 0x40
        .equ    ABSENT, 0x48
        .equ    DOWN, 0x50              # expand-down from 4 KiB
        .equ    GATE, 0x58 + 3          # to `gate_target`, two parameters
        .equ    CODE_16, 0x60
        .equ    SECOND_TASK, 0x68
        .equ    TASK_GATE, 0x70
        .equ    CONFORMING, 0x78
        .equ    TINY_CODE, 0x80
        .equ    TABLE, 0x88             # an LDT
        .equ    LOCAL_DATA, 0x04

        .macro  try name                # what follows up to `tried` is expected to fault
        say     "\name: "
        movl    $911f, resume_at
        movl    $910f, began_at
        movl    %esp, resume_stack
910:
        .endm

        .macro  tried
        say     "no fault"
        newline
911:
        .endm

        .macro  show_user
        int     $0x46
        .endm

        .macro  set_base selector, place
        movl    $\place, %eax
        movw    %ax, gdt + \selector + 2
        shrl    $16, %eax
        movb    %al, gdt + \selector + 4
        movb    %ah, gdt + \selector + 7
        .endm

        .text
        .globl  _start
        .balign 4
        .long   0x1BADB002, 0, -0x1BADB002
_start: movl    $stack_top, %esp
        movb    $0xff, %al                      # no interrupts of devices
        outb    %al, $0x21
        outb    %al, $0xa1
        call    fill_table
        lgdt    gdt_pointer
        ljmp    $CODE, $1f
1:      movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %eax, %fs
        movl    %eax, %gs
        lidt    idt_pointer
        movw    $TASK, %ax
        ltr     %ax
        movw    $TABLE, %ax
        lldt    %ax

        call    faults
        call    selectors
        call    limits
        call    far
        call    inspect
        call    stepping
        call    paging
        call    user
        call    tasks
        call    virtual
        finish

# -- faults of single instructions ---------------------------------------------------------------------------

faults: try     "divide"
        xorl    %ecx, %ecx
        divl    %ecx
        tried
        try     "divide overflow"
        movl    $1, %edx
        movl    $1, %ecx
        divl    %ecx
        tried
        try     "undefined"
        ud2
        tried
        try     "breakpoint"
        int3
        tried
        try     "overflow"
        movb    $0x7f, %al
        addb    $1, %al
        into
        tried
        try     "no overflow"
        xorl    %eax, %eax
        into
        tried
        try     "bound"
        movl    $5, %eax
        boundl  %eax, bounds
        tried
        try     "in bounds"
        movl    $3, %eax
        boundl  %eax, bounds
        tried
        try     "interrupt 41"
        int     $0x41
        tried
        try     "absent gate"
        int     $0x42
        tried
        try     "beyond the table"
        int     $0x90
        tried
        try     "gate of a data segment"
        int     $0x43
        tried
        try     "lock register"
        .byte   0xf0, 0x01, 0xc0
        tried
        try     "MSR"
        movl    $0x12345, %ecx
        rdmsr
        tried
        ret

# -- segment registers ---------------------------------------------------------------------------------------

        .macro  load_segment name, segment, selector
        try     "\name"
        movl    $\selector, %eax
        movl    %eax, %\segment
        tried
        .endm

selectors:
        load_segment "null data", fs, 0
        try     "through null"
        movl    %fs:0, %eax
        tried
        load_segment "null stack", ss, 0
        load_segment "beyond the GDT", es, 0xfff8
        load_segment "beyond the LDT", es, 0x7c
        load_segment "local", es, LOCAL_DATA
        load_segment "absent data", es, ABSENT
        load_segment "absent stack", ss, ABSENT
        load_segment "execute-only data", ds, EXECUTE_ONLY
        load_segment "code as data", es, CODE
        load_segment "read-only stack", ss, READ_ONLY
        load_segment "system segment", gs, TASK
        load_segment "stack of another level", ss, USER_DATA
        try     "write to read-only"
        movl    $READ_ONLY, %eax
        movl    %eax, %es
        movl    %es:0, %ebx
        movl    %ebx, %es:0
        tried
        try     "write to code"
        movl    %eax, %cs:gdt
        tried
        try     "read of execute-only"
        ljmp    $EXECUTE_ONLY, $1f
1:      movl    %cs:gdt, %eax
        tried
        try     "busy task"
        movw    $TASK, %ax
        ltr     %ax
        tried
        try     "LDT that is none"
        movw    $DATA, %ax
        lldt    %ax
        tried
        movl    $DATA, %eax
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        ret

# -- limits --------------------------------------------------------------------------------------------------

limits: movl    $SMALL, %eax
        movl    %eax, %fs
        movl    $DOWN, %eax
        movl    %eax, %gs
        try     "last bytes"
        movl    %fs:12, %eax
        tried
        try     "one beyond"
        movl    %fs:13, %eax
        tried
        try     "write beyond"
        movw    %ax, %fs:15
        tried
        try     "expand-down inside"
        movl    %gs:0x1000, %eax
        tried
        try     "expand-down outside"
        movl    %gs:0xffd, %eax
        tried
        try     "string limit"
        movl    $SMALL, %eax
        movl    %eax, %es
        movl    $8, %edi
        movl    $20, %ecx
        rep stosb
        tried
        movl    $DATA, %eax
        movl    %eax, %es
        show    %ecx
        show    %edi
        newline
        ret

# -- far transfers -------------------------------------------------------------------------------------------

far:    try     "jump to data"
        ljmp    $DATA, $0
        tried
        try     "jump to null"
        ljmp    $0, $0
        tried
        try     "jump beyond the limit"
        ljmp    $TINY_CODE, $0x10000
        tried
        try     "jump to absent"
        ljmp    $ABSENT, $0
        tried
        try     "jump to user code"
        ljmp    $USER_CODE, $0
        tried
        try     "call to conforming"
        lcall   $CONFORMING, $far_function
        tried
        try     "16-bit code"
        lcall   $CODE_16, $0
        tried
        try     "return to null"
        pushl   $0
        pushl   $0
        lret
        tried
        try     "return to data"
        pushl   $DATA
        pushl   $0
        lret
        tried
        try     "gate of the same level"
        pushl   $0x1111
        pushl   $0x2222
        lcall   $GATE - 3, $0
        tried
        ret

far_function:
        movl    %cs, %eax
        show    %eax
        lret

        .code16
function_16:
        movl    $0x1234, %eax
        movw    $0x5678, %ax
        lretl
        .code32

gate_target:
        movl    %cs, %eax
        show    %eax
        movl    %ss, %eax
        show    %eax
        movl    8(%esp), %eax
        show    %eax
        movl    12(%esp), %eax
        show    %eax
        lret    $8

# -- LAR, LSL, VERR, VERW, ARPL ------------------------------------------------------------------------------

inspect:
        movl    $0, %ecx
1:      say     "selector "
        show    %ecx
        movl    $0xdead, %eax
        lar     %ecx, %eax
        pushfl
        popl    %ebx
        show    %eax
        andl    $0x40, %ebx
        show    %ebx
        movl    $0xdead, %eax
        lsl     %ecx, %eax
        pushfl
        popl    %ebx
        show    %eax
        andl    $0x40, %ebx
        show    %ebx
        verr    %cx
        pushfl
        popl    %ebx
        andl    $0x40, %ebx
        show    %ebx
        verw    %cx
        pushfl
        popl    %ebx
        andl    $0x40, %ebx
        show    %ebx
        newline
        addl    $8, %ecx
        cmpl    $0x98, %ecx
        jb      1b
        movl    $0x10, %eax
        movl    $3, %ebx
        arpl    %bx, %ax
        show    %eax
        sldt    %eax
        show    %eax
        str     %eax
        show    %eax
        newline
        ret

# -- single-step ---------------------------------------------------------------------------------------------

stepping:
        say     "steps: "
        movl    $0, steps
        movb    $1, counts_steps
        pushfl
        orl     $0x100, (%esp)
        popfl
        nop
        movl    $3, %ecx
1:      loop    1b
        movl    $4, %ecx
        movl    $scratch, %edi
        rep stosb
        pushfl
        popl    %eax
        movl    %ss, %edx
        movl    %edx, %ss
        nop
        pushl   %eax
        andl    $~0x100, (%esp)
        popfl
        movb    $0, counts_steps
        show    steps
        show    last_status
        newline
        say     "breakpoint register: "
        movl    $2f, %eax
        movl    %eax, %db0
        movl    $0x402, %eax
        movl    %eax, %db7
        movl    $911f, resume_at
        movl    $2f, began_at
        movl    %esp, resume_stack
        nop
2:      nop
        tried
        movl    %db6, %eax
        show    %eax
        xorl    %eax, %eax
        movl    %eax, %db6
        say     "data: "
        movl    $scratch, %eax
        movl    %eax, %db1
        movl    $0x00d00408, %eax
        movl    %eax, %db7
        movl    $911f, resume_at
        movl    $2f, began_at
2:      movl    $5, scratch
        nop
        tried
        movl    %db6, %eax
        show    %eax
        movl    $0x400, %eax
        movl    %eax, %db7
        newline
        ret

# -- paging --------------------------------------------------------------------------------------------------

paging: movl    $directory, %edi                 # the first 8 MiB with their own addresses
        movl    $tables, %eax
        orl     $7, %eax
        movl    %eax, (%edi)
        addl    $0x1000, %eax
        movl    %eax, 4(%edi)
        movl    $tables, %edi
        movl    $7, %eax
        movl    $2048, %ecx
1:      stosl
        addl    $0x1000, %eax
        loop    1b
        movl    $0x00400000, %ebx                # the last pages: absent, read-only, supervisor
        movl    $0, tables + 0x1000
        movl    $0x00300005, tables + 0x1004
        movl    $0x00301003, tables + 0x1008
        movl    $0, tables + 0x100c
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        try     "page not present"
        movl    (%ebx), %eax
        tried
        try     "write, not present"
        movl    %eax, (%ebx)
        tried
        try     "write to read-only page"
        movl    %eax, 0x1004(%ebx)
        tried
        try     "across into absent"
        movl    0x2ffe(%ebx), %eax
        tried
        try     "jump to absent"
        jmp     *%ebx
        tried
        try     "beyond the tables"
        movl    0x00800000, %eax
        tried
        try     "string into absent"
        movl    $0x00402ffc, %edi
        movl    $16, %ecx
        rep stosb
        tried
        show    %ecx
        show    %edi
        newline
        say     "accessed and dirty: "
        movl    tables + 0x1004, %eax
        show    %eax
        movl    tables + 0x1008, %eax
        show    %eax
        newline
        try     "without write protection"
        movl    %cr0, %eax
        andl    $~0x10000, %eax
        movl    %eax, %cr0
        movl    %eax, 0x1004(%ebx)
        tried
        movl    %cr0, %eax
        orl     $0x10000, %eax
        movl    %eax, %cr0
        movl    $0x00301003, tables + 0x1000     # remapped, and seen after INVLPG
        invlpg  (%ebx)
        movl    $0x11223344, 0x2000(%ebx)
        movl    (%ebx), %eax
        show    %eax
        newline
        ret

# -- level 3 -------------------------------------------------------------------------------------------------

        .macro  user_try name
        try     "\name"
        pushl   $USER_DATA
        pushl   $user_stack
        pushl   $0x202
        pushl   $USER_CODE
        pushl   $920f
        movl    $920f, began_at
        movl    $USER_DATA, %eax
        movl    %eax, %ds
        iret
920:
        .endm

        .macro  user_tried
        int     $0x41
        tried
        .endm

user:   user_try "system call"
        nop
        user_tried
        user_try "breakpoint of level 3"
        int3
        user_tried
        user_try "gate of level 0"
        int     $0x44
        user_tried
        user_try "halt"
        hlt
        user_tried
        user_try "mask interrupts"
        cli
        user_tried
        user_try "port"
        inb     $0x80, %al
        user_tried
        user_try "allowed port"
        movb    $62, %al
        outb    %al, $0xe9
        user_tried
        user_try "allowed port, too wide"
        outl    %eax, $0xe9
        user_tried
        user_try "control register"
        movl    %cr0, %eax
        user_tried
        user_try "supervisor page"
        movl    0x00402000, %eax
        user_tried
        user_try "write to a read-only page"
        movl    %eax, 0x00401000
        user_tried
        user_try "kernel data"
        movl    $DATA, %eax
        movl    %eax, %es
        user_tried
        user_try "flags"
        pushl   $0x3202
        popfl
        pushfl
        popl    %eax
        show_user
        user_tried
        user_try "call gate"
        pushl   $0x1111
        pushl   $0x2222
        lcall   $GATE, $0
        user_tried
        try     "segments after a return"
        movl    $911f, resume_at
        pushl   $USER_DATA
        pushl   $user_stack
        pushl   $0x202
        pushl   $USER_CODE
        pushl   $920f
        movl    $920f, began_at
        iret
920:    movl    %ds, %eax
        show_user
        movl    %ss, %eax
        show_user
        user_tried
        movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        ret

# -- tasks ---------------------------------------------------------------------------------------------------

tasks:  say     "task by jump: "
        movl    $second_task, second_tss + 32
        ljmp    $SECOND_TASK, $0
        say     "back "
        newline
        say     "task by call: "
        lcall   $SECOND_TASK, $0
        say     "back "
        pushfl
        popl    %eax
        andl    $0x4000, %eax
        show    %eax
        newline
        say     "task by gate: "
        int     $0x45
        say     "back"
        newline
        movl    %cr0, %eax
        andl    $8, %eax
        show    %eax
        clts
        newline
        try     "busy task segment"
        ljmp    $TASK, $0
        tried
        ret

second_task:
        str     %eax
        show    %eax
        movl    second_tss, %eax
        movzwl  %ax, %eax
        show    %eax
        pushfl
        popl    %eax
        andl    $0x4000, %eax
        show    %eax
        testl   %eax, %eax
        jz      1f
        iret
        jmp     second_task
1:      ljmp    $TASK, $0
        jmp     second_task

# -- virtual-8086 mode ---------------------------------------------------------------------------------------

        .macro  virtual_try name
        try     "\name"
        pushl   $0
        pushl   $0
        pushl   $0x1000
        pushl   $0x2000
        pushl   $0x3000
        pushl   $0x100
        pushl   virtual_flags
        pushl   $0x3000
        pushl   $0
        movl    $930f, %esi
        movl    $0x30000, %edi
        movl    $64, %ecx
        rep movsb
        movl    $0, began_at
        iret
        .code16
930:
        .endm

        .macro  virtual_tried
        int     $0x41
        .code32
        tried
        .endm

virtual:
        movl    $0x20202, virtual_flags
        virtual_try "virtual: INT"
        nop
        virtual_tried
        virtual_try "virtual: CLI"
        cli
        virtual_tried
        virtual_try "virtual: PUSHF"
        pushfw
        virtual_tried
        virtual_try "virtual: port"
        inb     $0x80, %al
        virtual_tried
        virtual_try "virtual: limit"
        movw    $0xffff, %bx
        movw    (%bx), %ax
        virtual_tried
        virtual_try "virtual: LAR"
        .byte   0x0f, 0x02, 0xc0
        virtual_tried
        movl    $0x23202, virtual_flags
        virtual_try "virtual, IOPL 3: CLI"
        cli
        sti
        pushfw
        popw    %ax
        movw    $0x4321, %cx
        movw    %cx, %ds
        movw    %ds, %dx
        virtual_tried
        ret

# -- handlers ------------------------------------------------------------------------------------------------

        .altmacro
        .macro  stub number
1:      .if     \number == 8 || (\number >= 10 && \number <= 14) || \number == 17
        .else
        pushl   $0x7777
        .endif
        pushl   $\number
        jmp     common
        .pushsection .data
        .long   1b
        .popsection
        .endm

        .data
handlers:
        .text
        .set    count, 0
        .rept   0x48
        stub    %count
        .set    count, count + 1
        .endr
        .noaltmacro

common: pushal
        movl    %ds, %eax
        pushl   %eax
        movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        cmpl    $0x46, 36(%esp)         # a user program shows EAX
        je      show_for_user
        cmpl    $1, 36(%esp)
        jne     1f
        cmpb    $1, counts_steps
        je      step
1:      say     "vector "
        show    36(%esp)
        say     "code "
        show    40(%esp)
        say     "at "
        movl    44(%esp), %eax
        subl    began_at, %eax
        show    %eax
        say     "cs "
        movl    48(%esp), %eax
        andl    $0xffff, %eax
        show    %eax
        say     "flags "
        movl    52(%esp), %eax
        andl    $0x27300, %eax         # without RF, which not every emulator sets
        show    %eax
        testl   $3, 48(%esp)
        jnz     2f
        testl   $0x20000, 52(%esp)
        jz      3f
2:      say     "ss "
        movl    60(%esp), %eax
        andl    $0xffff, %eax
        show    %eax
        say     "ds "
        movl    (%esp), %eax
        andl    $0xffff, %eax
        show    %eax
        say     "ax "
        movzwl  32(%esp), %eax
        show    %eax
3:      cmpl    $14, 36(%esp)
        jne     4f
        say     "cr2 "
        movl    %cr2, %eax
        show    %eax
4:      newline
        movl    %cs:resume_stack, %esp
        movl    $DATA, %eax
        movl    %eax, %ss
        movl    %cs:resume_stack, %esp
        pushl   $0x2
        popfl
        movl    -4(%esp), %eax
        jmp     *resume_at

step:   incl    steps
        movl    %db6, %eax
        movl    %eax, last_status
        popl    %eax
        movl    %eax, %ds
        popal
        addl    $8, %esp
        iret

show_for_user:
        movl    32(%esp), %eax
        show    %eax
        popl    %eax
        movl    %eax, %ds
        popal
        addl    $8, %esp
        iret

fill_table:
        movl    $idt, %edi
        xorl    %ecx, %ecx
1:      movl    handlers(, %ecx, 4), %edx
        movw    %dx, (%edi)
        movw    $CODE, 2(%edi)
        movw    $0x8e00, 4(%edi)
        shrl    $16, %edx
        movw    %dx, 6(%edi)
        addl    $8, %edi
        incl    %ecx
        cmpl    $0x48, %ecx
        jb      1b
        movb    $0xee, idt + 3 * 8 + 5
        movb    $0xee, idt + 4 * 8 + 5
        movb    $0xee, idt + 0x41 * 8 + 5
        movb    $0x6e, idt + 0x42 * 8 + 5
        movb    $0x92, idt + 0x43 * 8 + 5
        movw    $SECOND_TASK, idt + 0x45 * 8 + 2
        movb    $0xe5, idt + 0x45 * 8 + 5
        movb    $0xee, idt + 0x46 * 8 + 5
        movl    $gate_target, %eax
        movw    %ax, gdt + 0x58
        shrl    $16, %eax
        movw    %ax, gdt + 0x5e
        set_base CODE_16, function_16
        set_base TASK, first_tss
        set_base SECOND_TASK, second_tss
        set_base TABLE, ldt
        ret

# -- data ----------------------------------------------------------------------------------------------------

        .macro  descriptor base, limit, attributes
        .word   (\limit) & 0xffff
        .word   (\base) & 0xffff
        .byte   (\base) >> 16 & 0xff
        .byte   (\attributes) & 0xff
        .byte   ((\attributes) >> 8 & 0xf0) | ((\limit) >> 16 & 0xf)
        .byte   (\base) >> 24 & 0xff
        .endm

        .data
        .balign 8
gdt:    .quad   0
        descriptor 0, 0xfffff, 0xc09b
        descriptor 0, 0xfffff, 0xc093
        descriptor 0, 0xfffff, 0xc0fb
        descriptor 0, 0xfffff, 0xc0f3
        descriptor 0, 0x2068, 0x0089
        descriptor 0x200000, 0xf, 0x4093
        descriptor 0, 0xfffff, 0xc091
        descriptor 0, 0xfffff, 0xc099
        descriptor 0, 0xfffff, 0xc013
        descriptor 0, 0, 0xc097
        .word   0, CODE, 0xec02, 0      # a call gate
        descriptor 0, 0xffff, 0x009b
        descriptor 0, 0x67, 0x0089
        .word   0, SECOND_TASK, 0xe500, 0
        descriptor 0, 0xfffff, 0xc09f
        descriptor 0, 0xfff, 0x409b
        descriptor 0, 0xf, 0x0082
        .quad   0
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
idt_pointer:
        .word   0x48 * 8 - 1
        .long   idt

bounds: .long   1, 4

        .data
        .balign 16
first_tss:
        .long   0, stack_top - 4096, DATA, 0, 0, 0, 0, directory
        .fill   17, 4, 0
        .word   0, first_map - first_tss
first_map:
        .fill   29, 1, 0xff
        .byte   0xfd                    # port E9h alone
        .fill   0x1fff, 1, 0xff
        .balign 16
second_tss:
        .long   0, 0, 0, 0, 0, 0, 0
        .long   directory, second_task, 0x2
        .long   0, 0, 0, 0, second_stack, 0, 0, 0
        .long   DATA, CODE, DATA, DATA, DATA, DATA, 0
        .word   0, 0x68
ldt:    descriptor 0, 0xfffff, 0xc093
        .quad   0

        .bss
        .balign 4096
directory: .skip 4096
tables: .skip   8192
idt:    .skip   0x48 * 8
        .skip   4096
user_stack:
        .skip   8192
stack_top:
        .skip   4096
second_stack:
resume_at: .long 0
resume_stack: .long 0
began_at: .long 0
steps:  .long   0
last_status: .long 0
virtual_flags: .long 0
scratch: .long  0
counts_steps: .byte 0
