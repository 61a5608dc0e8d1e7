/* Integer code as gcc makes it: arithmetic of all widths, bits, tables, sorting, calls. */

#include "checks.h"
#include <stdarg.h>

static u64 arithmetic(void) {
    u64 sum = 0;
    for (int i = 0; i < 2000; i++) {
        u64 a = next_random(), b = next_random();
        sum = mix(sum, a + b);
        sum = mix(sum, a * b);
        sum = mix(sum, (u64)((i64)a >> (b & 63)));
        sum = mix(sum, a << (b & 63) | a >> (63 & (64 - (b & 63))));
        sum = mix(sum, (u32)a / ((u32)b | 1));
        sum = mix(sum, (u64)((int)a % (int)(b | 1)));
        sum = mix(sum, (u16)a * (u16)b % ((u8)b | 1));
        sum = mix(sum, (u64)(signed char)a * (short)b);
        sum = mix(sum, a < b ? a : b);
        sum = mix(sum, (i64)a < (i64)b ? a : ~b);
        sum = mix(sum, (u64)__builtin_add_overflow_p((int)a, (int)b, (int)0));
    }
    return sum;
}

static u64 bits(void) {
    u64 sum = 0;
    for (int i = 0; i < 2000; i++) {
        u64 a = next_random() >> (i & 63) | 1;
        sum = mix(sum, (u64)__builtin_ctz((u32)a | 0x80000000) << 8 | (u64)__builtin_clz((u32)a | 1));
        for (u64 rest = a; rest; rest &= rest - 1) sum++;
        sum = mix(sum, __builtin_bswap64(a) ^ __builtin_bswap32((u32)a));
        sum = mix(sum, (u64)__builtin_parity((u32)a));
    }
    return sum;
}

static int choose(int value) { /* a jump table */
    switch (value & 15) {
        case 0: return 3;
        case 1: return value * 7;
        case 2: return value ^ 0x55;
        case 3: return -value;
        case 4: return value >> 2;
        case 5: return value << 3;
        case 6: return 99;
        case 7: return value + 1;
        case 8: return value * value;
        case 9: return ~value;
        default: return value - 5;
    }
}

static int operations(int which, int a, int b) {
    static int (*const table[])(int) = {choose};
    return table[which & 0](a) + b;
}

static u64 branches(void) {
    u64 sum = 0;
    for (int i = 0; i < 5000; i++) sum = mix(sum, (u64)operations(i, (int)next_random(), i));
    return sum;
}

static u32 numbers[1000];

static void sort(int low, int high) { /* quicksort */
    if (low >= high) return;
    u32 pivot = numbers[(low + high) / 2];
    int i = low, j = high;
    while (i <= j) {
        while (numbers[i] < pivot) i++;
        while (numbers[j] > pivot) j--;
        if (i <= j) {
            u32 kept = numbers[i];
            numbers[i++] = numbers[j];
            numbers[j--] = kept;
        }
    }
    sort(low, j);
    sort(i, high);
}

static u64 sorting(void) {
    u64 sum = 0;
    for (int i = 0; i < 1000; i++) numbers[i] = (u32)next_random();
    sort(0, 999);
    for (int i = 0; i < 1000; i++) sum = mix(sum, numbers[i]);
    return sum;
}

static u64 strings(void) {
    static char text[4096], copy[4096];
    u64 sum = 0;
    for (int i = 0; i < 4096; i++) text[i] = (char)("etaoin shrdlu"[next_random() % 13u & 7] + (i & 1));
    for (int i = 0; i < 50; i++) {
        u32 from = (u32)next_random() & 1023, length = (u32)next_random() & 1023;
        memcpy(copy + i, text + from, length);
        sum = mix(sum, (u64)memcmp(copy, text, 64));
        memset(copy + from, i, length & 63);
    }
    for (int i = 0; i < 4096; i++) sum = mix(sum, (u64)copy[i]);
    return sum;
}

static u64 add_all(int count, ...) {
    va_list list;
    u64 sum = 0;
    va_start(list, count);
    for (int i = 0; i < count; i++) sum = mix(sum, i & 1 ? va_arg(list, u64) : (u64)va_arg(list, int));
    va_end(list);
    return sum;
}

struct packed {
    u32 three : 3;
    u32 eleven : 11;
    int seven : 7;
    u64 forty : 40;
    u8 bytes[29];
};

static struct packed rotate(struct packed value) {
    value.eleven += value.three;
    value.seven -= 3;
    value.forty = value.forty * 3 + value.eleven;
    value.bytes[value.three] ^= 0xA5;
    return value;
}

static u64 structures(void) {
    struct packed value = {1, 2, 3, 4, {5}};
    u64 sum = 0;
    for (int i = 0; i < 500; i++) {
        value = rotate(value);
        sum = mix(sum, value.eleven + (u64)value.seven + value.forty + value.bytes[i % 29]);
    }
    return sum;
}

static void *jump_buffer[5];

static void __attribute__((noinline)) leap(int depth) {
    if (depth == 0) __builtin_longjmp(jump_buffer, 1);
    leap(depth - 1);
}

static u64 jumps(void) {
    volatile int count = 0;
    if (__builtin_setjmp(jump_buffer)) {
        count++;
    }
    if (count < 20) leap(count);
    return (u64)count;
}

int main(void) {
    report("arithmetic", arithmetic());
    report("bits", bits());
    report("branches", branches());
    report("sorting", sorting());
    report("strings", strings());
    report("varargs", add_all(8, 1, 2ull, 3, 4ull << 40, 5, 6ull, -7, 8ull));
    report("structures", structures());
    report("jumps", jumps());
#ifdef __SIZEOF_INT128__
    unsigned __int128 product = 1;
    u64 sum = 0;
    for (int i = 0; i < 500; i++) {
        product = product * next_random() + (product >> 77);
        sum = mix(sum, (u64)(product >> 64) ^ (u64)product);
        sum = mix(sum, (u64)((__int128)product >> (i & 127)));
    }
    report("int128", sum);
#endif
    return 0;
}
