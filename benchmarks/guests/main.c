/* Marks the begin and the end of the measured part on the debug console. */

typedef unsigned long long u64;
void put(int character);
u64 WORK(u64 count);

void *memcpy(void *target, const void *source, __SIZE_TYPE__ size) {
    char *to = target;
    const char *from = source;
    while (size--) *to++ = *from++;
    return target;
}

void *memset(void *target, int value, __SIZE_TYPE__ size) {
    char *to = target;
    while (size--) *to++ = (char)value;
    return target;
}

int main(void) {
    put('<');
    u64 sum = WORK(COUNT);
    put('>');
    for (int shift = 60; shift >= 0; shift -= 4) put("0123456789abcdef"[sum >> shift & 15]);
    return 0;
}
