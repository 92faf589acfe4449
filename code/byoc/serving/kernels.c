/* What lies between the 8-bit products of an encoder's layer, in one pass each.
 *
 * In torch's operators the same takes some ten passes and calls a product, which for a sentence or
 * two cost more than the product. byoc/serving/fused.py calls these and says what they are for; the
 * library has no other user and no Python in it.
 *
 * Matrices are in rows, one a token. Built with OpenMP but not linked with it: the symbols are those
 * of the library that torch has loaded, so that both share their threads and their number.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

/* A row's work for the newest of these that the CPU has. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), noinline))
#else
#define FOR_EACH_CPU
#endif

#define LEAST 1e-12f    /* in place of a row's largest value where all are zero */
#define SMALL 16384     /* values: below it threads cost more than they save */
#define LONGEST 64      /* tokens of a sequence: for longer ones torch is faster */
#define WIDEST 256      /* of a head; a multiple of LANES, as every head's width is to be */
#define LANES 16
#define TOGETHER 4

/* What byoc_attend can do, for its caller to ask. */
const int64_t byoc_longest = LONGEST, byoc_widest = WIDEST, byoc_lanes = LANES;

typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

enum { GELU = 0, GELU_TANH = 1, RELU = 2 };

static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
    float whole = rintf(x * 1.44269504f);
    float rest = x - whole * 0.693147181f;
    float power = 1.0f / 720;
    power = power * rest + 1.0f / 120;
    power = power * rest + 1.0f / 24;
    power = power * rest + 1.0f / 6;
    power = power * rest + 0.5f;
    power = power * rest + 1.0f;
    power = power * rest + 1.0f;
    int32_t bits = ((int32_t)whole + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return power * scale;
}

/* Abramowitz and Stegun, 7.1.26: off by 1.5e-7 at most. */
static inline float error_function(float x) {
    float size = fabsf(x);
    float t = 1.0f / (1.0f + 0.3275911f * size);
    float sum = 1.061405429f;
    sum = sum * t - 1.453152027f;
    sum = sum * t + 1.421413741f;
    sum = sum * t - 0.284496736f;
    sum = sum * t + 0.254829592f;
    return copysignf(1.0f - sum * t * exponential(-size * size), x);
}

/* Steps on both sides of 128; returns the size of one. */
FOR_EACH_CPU static float row_to_steps(const float *x, const float *even, int64_t width, uint8_t *steps) {
    float top = LEAST;
    for (int64_t i = 0; i < width; i++) {
        float size = fabsf(x[i] * even[i]);
        top = size > top ? size : top;
    }
    float factor = 127.0f / top;
    for (int64_t i = 0; i < width; i++)
        steps[i] = (uint8_t)((int32_t)rintf(x[i] * even[i] * factor) + 128);
    return top / 127.0f;
}

FOR_EACH_CPU static void row_of_product(float *y, float scale, const float *bias, int64_t width) {
    for (int64_t i = 0; i < width; i++) y[i] = y[i] * scale + bias[i];
}

FOR_EACH_CPU static void row_norm(const float *y, float scale, const float *bias, const float *residual,
                                  const float *weight, const float *shift, float epsilon, int64_t width,
                                  float *out) {
    float sum = 0.0f, squares = 0.0f;
    for (int64_t i = 0; i < width; i++) {
        out[i] = y[i] * scale + bias[i] + residual[i];
        sum += out[i];
    }
    float mean = sum / width;
    for (int64_t i = 0; i < width; i++) squares += (out[i] - mean) * (out[i] - mean);
    float factor = 1.0f / sqrtf(squares / width + epsilon);
    for (int64_t i = 0; i < width; i++) out[i] = (out[i] - mean) * factor * weight[i] + shift[i];
}

/* y becomes even * (f(y * scale + bias) - lowest), which is not below zero. */
FOR_EACH_CPU static float row_activate(float *y, float scale, const float *bias, int kind, float lowest,
                                       const float *even, int64_t width) {
    float top = LEAST;
    if (kind == GELU) {
        for (int64_t i = 0; i < width; i++) {
            float x = y[i] * scale + bias[i];
            y[i] = 0.5f * x * (1.0f + error_function(x * 0.707106781f));
        }
    } else if (kind == GELU_TANH) {
        for (int64_t i = 0; i < width; i++) {
            float x = y[i] * scale + bias[i];
            float inner = 0.797884561f * (x + 0.044715f * x * x * x);
            y[i] = x * (1.0f - 1.0f / (exponential(2.0f * inner) + 1.0f));
        }
    } else {
        for (int64_t i = 0; i < width; i++) {
            float x = y[i] * scale + bias[i];
            y[i] = x > 0.0f ? x : 0.0f;
        }
    }
    for (int64_t i = 0; i < width; i++) {
        y[i] = (y[i] - lowest) * even[i];
        top = y[i] > top ? y[i] : top;
    }
    return top;
}

/* Steps from 0 up. */
FOR_EACH_CPU static void row_to_high_steps(const float *y, float top, int64_t width, uint8_t *steps) {
    float factor = 255.0f / top;
    for (int64_t i = 0; i < width; i++) {
        float step = rintf(y[i] * factor);
        steps[i] = (uint8_t)(int32_t)(step > 0.0f ? step : 0.0f);
    }
}

/* One head of one sequence, from its first query on: qkv [length, 3, heads, size]. TOGETHER queries at a
 * time, so that each key that is read serves them all, and no sum waits for the one before. */
FOR_EACH_CPU static void head_attend(const float *qkv, int64_t length, int64_t queries, int64_t stride,
                                     int64_t width, int64_t size, float scaling, float *out) {
    float keys[WIDEST][LONGEST], scores[TOGETHER][LONGEST];
    const float *values = qkv + 2 * width;
    int64_t padded = (length + LANES - 1) / LANES * LANES;
    for (int64_t i = 0; i < size; i++)
        for (int64_t j = length; j < padded; j++) keys[i][j] = 0.0f;
    for (int64_t j = 0; j < length; j++)
        for (int64_t i = 0; i < size; i++) keys[i][j] = qkv[j * stride + width + i];
    for (int64_t q = 0; q < queries; q += TOGETHER) {
        int64_t numbers[TOGETHER]; /* the last ones may be one and the same */
        float shares[TOGETHER];
        for (int n = 0; n < TOGETHER; n++) numbers[n] = q + n < queries ? q + n : queries - 1;
        for (int64_t j = 0; j < padded; j += LANES) {
            Lanes part[TOGETHER] = {{0}};
            for (int64_t i = 0; i < size; i++) {
                Lanes key = *(const Lanes *)&keys[i][j];
#pragma GCC unroll 4
                for (int n = 0; n < TOGETHER; n++) part[n] += qkv[numbers[n] * stride + i] * key;
            }
            for (int n = 0; n < TOGETHER; n++) *(Lanes *)&scores[n][j] = part[n];
        }
        for (int n = 0; n < TOGETHER; n++) {
            float most = -INFINITY, sum = 0.0f;
            for (int64_t j = 0; j < length; j++) most = scores[n][j] > most ? scores[n][j] : most;
            for (int64_t j = 0; j < padded; j++) scores[n][j] = exponential((scores[n][j] - most) * scaling);
            for (int64_t j = 0; j < length; j++) sum += scores[n][j];
            shares[n] = 1.0f / sum;
        }
        for (int64_t i = 0; i < size; i += LANES) {
            Lanes part[TOGETHER] = {{0}};
            for (int64_t j = 0; j < length; j++) {
                Lanes value = *(const Lanes *)&values[j * stride + i];
#pragma GCC unroll 4
                for (int n = 0; n < TOGETHER; n++) part[n] += scores[n][j] * value;
            }
            for (int n = 0; n < TOGETHER; n++) *(Lanes *)&out[numbers[n] * width + i] = part[n] * shares[n];
        }
    }
}

/* x [tokens, width] to steps on both sides of 128, and the size of a step of each token. */
void byoc_to_steps(const float *x, const float *even, int64_t tokens, int64_t width, uint8_t *steps,
                   float *scale) {
#pragma omp parallel for if (tokens * width > SMALL)
    for (int64_t t = 0; t < tokens; t++)
        scale[t] = row_to_steps(x + t * width, even, width, steps + t * width);
}

/* In place: what a product stands for, y * scale + bias. */
void byoc_of_product(float *y, const float *scale, const float *bias, int64_t tokens, int64_t width) {
#pragma omp parallel for if (tokens * width > SMALL)
    for (int64_t t = 0; t < tokens; t++) row_of_product(y + t * width, scale[t], bias, width);
}

/* out = norm(y * scale + bias + residual), and as steps of even * out, unless even is null. */
void byoc_norm(const float *y, const float *scale, const float *bias, const float *residual, const float *weight,
               const float *shift, float epsilon, int64_t tokens, int64_t width, float *out, const float *even,
               uint8_t *steps, float *scale_out) {
#pragma omp parallel for if (tokens * width > SMALL)
    for (int64_t t = 0; t < tokens; t++) {
        float *row = out + t * width;
        row_norm(y + t * width, scale[t], bias, residual + t * width, weight, shift, epsilon, width, row);
        if (even) scale_out[t] = row_to_steps(row, even, width, steps + t * width);
    }
}

/* Steps from 0 up of even * (f(y * scale + bias) - lowest). y is lost. */
void byoc_activate(float *y, const float *scale, const float *bias, int kind, float lowest, const float *even,
                   int64_t tokens, int64_t width, uint8_t *steps, float *scale_out) {
#pragma omp parallel for if (tokens * width > SMALL)
    for (int64_t t = 0; t < tokens; t++) {
        float *row = y + t * width;
        float top = row_activate(row, scale[t], bias, kind, lowest, even, width);
        row_to_high_steps(row, top, width, steps + t * width);
        scale_out[t] = top / 255.0f;
    }
}

/* qkv [tokens, 3, heads, size] to out [tokens, heads, size], or of each sequence's first token only to
 * [sequences, heads, size]. starts: where sequences begin, and the last one ends. */
void byoc_attend(const float *qkv, const int64_t *starts, int64_t sequences, int64_t heads, int64_t size,
                 float scaling, int firsts_only, float *out) {
    int64_t width = heads * size;
#pragma omp parallel for collapse(2) if (starts[sequences] * width > SMALL)
    for (int64_t s = 0; s < sequences; s++)
        for (int64_t h = 0; h < heads; h++) {
            int64_t length = starts[s + 1] - starts[s];
            head_attend(qkv + starts[s] * 3 * width + h * size, length, firsts_only ? 1 : length, 3 * width,
                        width, size, scaling, out + (firsts_only ? s : starts[s]) * width + h * size);
        }
}
