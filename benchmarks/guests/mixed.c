/* A mixture of what compiled programs do: sorting, a checksum by table, hashing, matrices, strings, a tree. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

static u64 state = 88172645463325252ull;
static u64 next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static u32 numbers[4096];
static void sort(int low, int high) {
    while (low < high) {
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
        low = i;
    }
}

static u32 table[256];
static u32 checksum(const u8 *data, int size) {
    u32 value = ~0u;
    for (int i = 0; i < size; i++) value = table[(value ^ data[i]) & 255] ^ value >> 8;
    return ~value;
}

static int a[32][32], b[32][32], c[32][32];
static void multiply(void) {
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < 32; j++) {
            int sum = 0;
            for (int k = 0; k < 32; k++) sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
}

struct node {
    struct node *left, *right;
    u32 key;
};
static struct node nodes[1024];
static u32 grow(void) {
    struct node *root = 0;
    u32 depth = 0;
    for (int i = 0; i < 1024; i++) {
        struct node **place = &root, *made = &nodes[i];
        made->left = made->right = 0;
        made->key = (u32)next_random();
        while (*place) place = made->key < (*place)->key ? &(*place)->left : &(*place)->right, depth++;
        *place = made;
    }
    return depth;
}

static char text[2048];
static int words(void) {
    int count = 0, inside = 0;
    for (int i = 0; i < 2048; i++) {
        char letter = text[i];
        if (letter == ' ' || letter == '\n') {
            inside = 0;
        } else if (!inside) {
            inside = 1;
            count++;
        }
    }
    return count;
}

u64 mixed(u64 turns) {
    u64 sum = 0;
    for (u32 i = 0; i < 256; i++) {
        u32 value = i;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0xEDB88320u : value >> 1;
        table[i] = value;
    }
    while (turns--) {
        for (int i = 0; i < 4096; i++) numbers[i] = (u32)next_random();
        for (int i = 0; i < 1024; i++) a[i / 32][i % 32] = b[i % 32][i / 32] = (int)numbers[i];
        for (int i = 0; i < 2048; i++) text[i] = "etaoin shrdlu \n"[numbers[i] % 15];
        sort(0, 4095);
        sum = sum * 31 + checksum((const u8 *)numbers, sizeof numbers);
        multiply();
        sum += (u32)c[turns & 31][3] + grow() + words();
    }
    return sum;
}
