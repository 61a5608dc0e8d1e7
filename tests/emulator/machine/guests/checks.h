/* What the C programs have in common: output of checksums, and random numbers. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

void put(int character);

static inline void say(const char *text) {
    while (*text) put(*text++);
}

static inline void report(const char *name, u64 value) {
    say(name);
    put(' ');
    for (int shift = 60; shift >= 0; shift -= 4) put("0123456789abcdef"[value >> shift & 15]);
    put('\n');
}

static u64 random_state = 88172645463325252ull;

static inline u64 next_random(void) { /* xorshift64 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static inline u64 mix(u64 sum, u64 value) { return (sum << 7 | sum >> 57) * 31 + value; }

/* What gcc calls by itself. */
void *memcpy(void *target, const void *source, __SIZE_TYPE__ size) {
    u8 *to = target;
    const u8 *from = source;
    while (size--) *to++ = *from++;
    return target;
}

void *memset(void *target, int value, __SIZE_TYPE__ size) {
    u8 *to = target;
    while (size--) *to++ = (u8)value;
    return target;
}

int memcmp(const void *one, const void *other, __SIZE_TYPE__ size) {
    const u8 *a = one, *b = other;
    for (; size; size--, a++, b++)
        if (*a != *b) return *a - *b;
    return 0;
}
