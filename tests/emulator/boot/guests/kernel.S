# A kernel by multiboot or, built with -DPVH, by PVH: it prints its command line and its module on the debug console, the
# number of entries of the memory map, and ends the machine.
    .globl _start
#ifdef PVH
    .section .note.Xen, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long _start
    .text
_start:
    mov $0x80000, %esp
    cmpl $0x336ec578, (%ebx)
    jne fail
    mov 24(%ebx), %esi
    call print
    mov 16(%ebx), %edi
    mov (%edi), %esi
    mov 8(%edi), %ecx
    call print_bytes
    mov 48(%ebx), %al
    add $'0', %al
    out %al, $0xe9
#else
    .text
    .long 0x1badb002, 0, -0x1badb002
_start:
    mov $0x80000, %esp
    cmp $0x2badb002, %eax
    jne fail
    mov 16(%ebx), %esi
    call print
    mov 24(%ebx), %edi
    mov (%edi), %esi
    mov 4(%edi), %ecx
    sub %esi, %ecx
    call print_bytes
    mov 20(%ebx), %al
    add $'0', %al
    out %al, $0xe9
#endif
    mov $3, %al
    out %al, $0xf4
    jmp .
fail:
    mov $0, %al
    out %al, $0xf4
    jmp .

print:
    lodsb
    test %al, %al
    jz 1f
    out %al, $0xe9
    jmp print
1:  ret

print_bytes:
1:  lodsb
    out %al, $0xe9
    loop 1b
    ret
