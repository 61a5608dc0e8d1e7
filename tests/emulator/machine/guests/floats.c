/* Floating point as gcc makes it: double and float, conversions, comparisons; no library. */

#include "checks.h"

static double random_double(void) { return (double)(i64)next_random() / 1048576.0 / 4096.0; }

static u64 bits_of(double value) {
    u64 bits;
    __builtin_memcpy(&bits, &value, 8);
    return bits;
}

static u64 doubles(void) {
    u64 sum = 0;
    double total = 1.0;
    for (int i = 0; i < 1000; i++) {
        double a = random_double(), b = random_double();
        total = total * 0.5 + a / (b * b + 1.0) - (a < b ? a : b) * 0.25;
        sum = mix(sum, bits_of(total));
        sum = mix(sum, bits_of(__builtin_sqrt(a * a + b * b)));
        sum = mix(sum, (u64)(int)(a * 0.001));
    }
    return sum;
}

static u64 floats(void) {
    u64 sum = 0;
    float total = 1.0f;
    for (int i = 0; i < 1000; i++) {
        float a = (float)random_double(), b = (float)(int)next_random();
        total = total * 0.5f + a / (b + 0.5f);
        sum = mix(sum, bits_of((double)total));
        sum = mix(sum, (u64)(a > b) << 1 | (u64)(a == b));
    }
    return sum;
}

static double matrix[3][12][12];

static u64 matrices(void) {
    for (int i = 0; i < 144; i++) {
        matrix[0][i / 12][i % 12] = random_double() * 1e-6;
        matrix[1][i / 12][i % 12] = random_double() * 1e-6;
    }
    for (int i = 0; i < 12; i++)
        for (int j = 0; j < 12; j++) {
            double sum = 0;
            for (int k = 0; k < 12; k++) sum += matrix[0][i][k] * matrix[1][k][j];
            matrix[2][i][j] = sum;
        }
    u64 sum = 0;
    for (int i = 0; i < 144; i++) sum = mix(sum, bits_of(matrix[2][i / 12][i % 12]));
    return sum;
}

int main(void) {
    report("doubles", doubles());
    report("floats", floats());
    report("matrices", matrices());
    return 0;
}
