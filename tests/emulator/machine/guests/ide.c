/* The first IDE disk by PIO and by the bus master: checksums of what is read, and sectors that are written.

   With LOOPS the program reads that many times 1 MiB by DMA instead, between the marks < and >. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;

void put(int c);

enum { BASE = 0x1F0, CONTROL = 0x3F6, MASTER = 0xC000, SECTOR = 512, MIB = 1 << 20 };

static u8 data[2 * MIB] __attribute__((aligned(65536)));
static u32 table[64] __attribute__((aligned(65536)));

static void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static void outl(u16 port, u32 value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }
static u8 inb(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void insw(void *to, u32 count)
{
    __asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(BASE) : "memory");
}

static void insl(void *to, u32 count)
{
    __asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(BASE) : "memory");
}

static void outsw(const void *from, u32 count)
{
    __asm__ volatile("rep outsw" : "+S"(from), "+c"(count) : "d"(BASE) : "memory");
}

static void print(const char *text)
{
    while (*text)
        put(*text++);
}

static void print_hex(u32 value)
{
    for (int shift = 28; shift >= 0; shift -= 4)
        put("0123456789abcdef"[value >> shift & 15]);
}

/* Adler-32 of the first bytes. */
static void report(const char *name, u32 size)
{
    u32 a = 1, b = 0;
    for (u32 i = 0; i < size; i++) {
        a = (a + data[i]) % 65521;
        b = (b + a) % 65521;
    }
    print(name);
    print(" ");
    print_hex(b << 16 | a);
    print("\n");
}

static u8 wait(void)
{
    u8 status;
    do
        status = inb(BASE + 7);
    while (status & 0x80);
    return status;
}

static void command(u8 code, u32 sector, u32 count)
{
    wait();
    outb(BASE + 6, 0xE0 | sector >> 24);
    outb(BASE + 2, count);
    outb(BASE + 3, sector);
    outb(BASE + 4, sector >> 8);
    outb(BASE + 5, sector >> 16);
    outb(BASE + 7, code);
}

static void clear(void)
{
    for (u32 i = 0; i < sizeof data; i++)
        data[i] = 0;
}

/* All in pieces of 64 KiB, each `gap` bytes behind the one before it. */
static void dma(u8 code, u32 sector, u32 count, u32 gap)
{
    u32 left = count * SECTOR, place = (u32)data, *entry = table;
    u8 direction = code == 0xC8 ? 8 : 0;
    while (left) {
        u32 size = left < 65536 ? left : 65536;
        left -= size;
        *entry++ = place;
        *entry++ = (size & 0xFFFF) | (left ? 0 : 0x80000000);
        place += size + gap;
    }
    outb(MASTER, direction);
    outb(MASTER + 2, 6);
    outl(MASTER + 4, (u32)table);
    command(code, sector, count);
    outb(MASTER, direction | 1);
    while ((inb(MASTER + 2) & 5) == 1)
        ;
    outb(MASTER, 0);
    if (wait() & 0x21 || inb(MASTER + 2) & 2)
        print("failed\n");
}

static void write_config(u32 offset, u32 value)
{
    outl(0xCF8, 0x80000900 | offset);
    outl(0xCFC, value);
}

static void pio(void)
{
    clear();
    command(0x20, 100, 5);
    for (u32 i = 0; i < 5; i++) {
        while (!(wait() & 8))
            ;
        insw(data + i * SECTOR, SECTOR / 2);
    }
    report("rep insw", 5 * SECTOR);
    clear();
    command(0xC6, 0, 16);
    command(0xC4, 7, 35);
    for (u32 i = 0; i < 35; i += 16) {
        while (!(wait() & 8))
            ;
        insl(data + i * SECTOR + 2, (i + 16 < 35 ? 16 : 35 - i) * SECTOR / 4); /* over page borders */
    }
    report("rep insl", 36 * SECTOR);
    for (u32 i = 0; i < 3 * SECTOR; i++)
        data[i] = i * 7 + (i >> 8);
    command(0x30, 50, 3);
    for (u32 i = 0; i < 3; i++) {
        while (!(wait() & 8))
            ;
        outsw(data + i * SECTOR, SECTOR / 2);
    }
    wait();
}

int main(void)
{
    outb(CONTROL, 2); /* no interrupts */
    write_config(0x20, MASTER);
    write_config(0x04, 5);
#ifdef LOOPS
    put('<');
    for (u32 turn = 0; turn < LOOPS; turn++)
        for (u32 part = 0; part < 8; part++)
            dma(0xC8, turn * 2048 + part * 256, 256, 0);
    put('>');
#else
    pio();
    clear();
    dma(0xC8, 1000, 256, 0);
    report("dma", 256 * SECTOR);
    clear();
    dma(0xC8, 2000, 256, 4096);
    report("dma apart", MIB);
    for (u32 i = 0; i < 200 * SECTOR; i++)
        data[i] = i ^ i >> 7;
    dma(0xCA, 300, 200, 0);
    command(0xE7, 0, 0);
    wait();
#endif
    return 0;
}
