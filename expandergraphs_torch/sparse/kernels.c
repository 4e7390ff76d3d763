/*
 * Products with a sparse matrix whose columns are windows into an image: convolutions, and linear layers as those of
 * one pixel.
 *
 * Images are stored with the samples of a batch innermost, (channels, pixels, samples), so that a tap of the kernel is
 * a shift of the address, and a run of pixels of all samples is one long vector. Column j of the matrix, a channel and
 * a tap, starts at base[j]; the outputs of a row of the matrix are n_segments runs of `length` numbers each, the s-th
 * of which reads from base[j] + segments[s]. `length` is a multiple of 64 bytes: the batch is padded.
 *
 * Every output is summed by one thread, in the same order however many there are.
 */
#include <stddef.h>
#include <stdint.h>

#ifndef REAL /* everything after this is compiled twice, for float and for double */

#ifdef __AVX512F__
#define BYTES 64
#else
#define BYTES 32
#endif
#define MOST 8  /* vectors that are summed in registers at a time */
#define AHEAD 8 /* edges between fetching what an edge multiplies into the cache, and using it */
#define FAR_AHEAD 32 /* the same for single numbers, which may be as far as the memory */
#define SIDE 16 /* pixels that are transposed at a time: those of a line of the cache */
#define INLINE static inline __attribute__((always_inline))

/* Where part `part` of `parts` begins, if groups of `step` rows are shared out with about equal numbers of edges. */
INLINE int64_t share(const int32_t *pointers, int64_t n, int64_t step, int64_t part, int64_t parts)
{
    int64_t goal = (int64_t)pointers[n * step] * part / parts, low = 0, high = n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (pointers[middle * step] < goal)
            low = middle + 1;
        else
            high = middle;
    }
    return (part == parts ? n : low) * step;
}

/* How many vectors of the `left` ones to compute next. */
INLINE int64_t next_tile(int64_t left)
{
    return left >= MOST ? MOST : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

#define FOR_TILE(T, CALL) \
    switch (T) { \
    case MOST: CALL(MOST); break; \
    case 4: CALL(4); break; \
    case 2: CALL(2); break; \
    default: CALL(1); \
    }

#define REAL float
#define INTEGER int32_t
#define LANES (BYTES / 4)
#define NAME(function) function##_float
#include "kernels.c"
#undef REAL
#undef INTEGER
#undef LANES
#undef NAME
#define REAL double
#define INTEGER int64_t
#define LANES (BYTES / 8)
#define NAME(function) function##_double
#include "kernels.c"

#else

#define VECTOR NAME(vector)
typedef REAL VECTOR __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
typedef INTEGER NAME(lanes) __attribute__((vector_size(BYTES)));

INLINE REAL NAME(sum)(VECTOR v)
{
#ifdef __clang__
    REAL total = 0;
    for (int k = 0; k < LANES; k++)
        total += v[k];
    return total;
#else
    NAME(lanes) lane;
    for (int k = 0; k < LANES; k++)
        lane[k] = k;
    for (int width = LANES / 2; width; width /= 2)
        v += __builtin_shuffle(v, lane ^ width);
    return v[0];
#endif
}

typedef REAL NAME(eight) __attribute__((vector_size(8 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE __builtin_shufflevector
#endif
#endif

/* Transpose a block of 8 x 8 numbers, inwards or outwards: 2 x 2 blocks, then those of 4 x 4, then the whole. */
INLINE void NAME(transpose_8)(int inwards, REAL *outer, int64_t stride, REAL *const *pixels, int64_t i)
{
#ifdef SHUFFLE
    NAME(eight) r[8], t[8];
    for (int k = 0; k < 8; k++)
        r[k] = *(const NAME(eight) *)(inwards ? outer + k * stride : pixels[k] + i);
    for (int k = 0; k < 8; k += 2) {
        t[k] = SHUFFLE(r[k], r[k + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        t[k + 1] = SHUFFLE(r[k], r[k + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int k = 0; k < 8; k += k % 4 ? 3 : 1) {
        r[k] = SHUFFLE(t[k], t[k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        r[k + 2] = SHUFFLE(t[k], t[k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (int k = 0; k < 4; k++) {
        t[k] = SHUFFLE(r[k], r[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        t[k + 4] = SHUFFLE(r[k], r[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    for (int k = 0; k < 8; k++)
        *(NAME(eight) *)(inwards ? pixels[k] + i : outer + k * stride) = t[k];
#else
    for (int a = 0; a < 8; a++)
        for (int b = 0; b < 8; b++)
            if (inwards)
                pixels[b][i + a] = outer[a * stride + b];
            else
                outer[a * stride + b] = pixels[b][i + a];
#endif
}
#undef SHUFFLE

/* Move samples between `outer`, where those of a pixel are `stride` apart, and up to SIDE pixels. */
INLINE void NAME(move)(int inwards, REAL *outer, int64_t stride, REAL *const *pixels, int64_t n_here, int64_t n_samples)
{
    for (int64_t i = 0; i < n_samples; i += 8) {
        int64_t end = n_samples - i < 8 ? n_samples : i + 8, b = 0;
        if (inwards)
            for (int64_t a = i; a < end; a++)
                __builtin_prefetch(outer + a * stride + 2 * SIDE);
        for (; end == i + 8 && b + 8 <= n_here; b += 8)
            NAME(transpose_8)(inwards, outer + i * stride + b, stride, pixels + b, i);
        for (; b < n_here; b++)
            for (int64_t a = i; a < end; a++)
                if (inwards)
                    pixels[b][a] = outer[a * stride + b];
                else
                    outer[a * stride + b] = pixels[b][a];
    }
}

INLINE void NAME(fetch)(int T, const REAL *row)
{
    for (int t = 0; t < T * BYTES; t += 64)
        __builtin_prefetch((const char *)row + t);
}

INLINE void NAME(row_times)(int T, const int32_t *columns, const REAL *values, int64_t e, int64_t end, int64_t n_edges,
                            const int64_t *base, const REAL *x, REAL start, REAL *y)
{
    VECTOR total[MOST];
    for (int t = 0; t < T; t++)
        total[t] = (VECTOR){0} + start;
    for (; e < end; e++) {
        const VECTOR *from = (const VECTOR *)(x + base[columns[e]]);
        NAME(fetch)(T, x + base[columns[e + AHEAD < n_edges ? e + AHEAD : e]]);
        for (int t = 0; t < T; t++)
            total[t] += values[e] * from[t];
    }
    for (int t = 0; t < T; t++)
        ((VECTOR *)y)[t] = total[t];
}

/*
 * y = W x + bias; y is (n_rows, n_segments * length). Or, of a linear layer, where n_samples is not 0: (n_samples,
 * n_rows), turned in the cache, some rows at a time.
 */
void NAME(forward)(const int32_t *pointers, const int32_t *columns, const REAL *values, const REAL *bias,
                   const int64_t *base, const int64_t *segments, const REAL *x, REAL *y, int64_t n_rows,
                   int64_t n_segments, int64_t length, int64_t n_samples, int64_t threads)
{
    int64_t n_edges = pointers[n_rows];
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t part = 0; part < threads; part++) {
        int64_t first = share(pointers, n_rows, 1, part, threads), last = share(pointers, n_rows, 1, part + 1, threads);
        for (int64_t s = 0; s < n_segments; s++)
            for (int64_t k = 0, T; k < length; k += T * LANES) {
                T = next_tile((length - k) / LANES);
                const REAL *from = x + segments[s] + k;
                REAL turned[SIDE][MOST * LANES], *results[SIDE];
                for (int64_t i = first, b = 0; i < last; i++) {
                    int64_t e = pointers[i], end = pointers[i + 1];
                    REAL start = bias ? bias[i] : 0, *to = results[b] = turned[b];
                    if (!n_samples)
                        to = y + (i * n_segments + s) * length + k;
#define ROW_TIMES(T) NAME(row_times)(T, columns, values, e, end, n_edges, base, from, start, to)
                    FOR_TILE(T, ROW_TIMES)
#undef ROW_TIMES
                    if (n_samples && (++b == SIDE || i + 1 == last)) {
                        int64_t samples = n_samples - k < T * LANES ? n_samples - k : T * LANES;
                        NAME(move)(0, y + k * n_rows + i + 1 - b, n_rows, results, b, samples);
                        b = 0;
                    }
                }
            }
    }
}

/* `to_x` and `to_values` are constants where this is called: what is not wanted is not compiled. */
INLINE void NAME(column_times)(int T, int to_x, int to_values, const int32_t *rows, const int32_t *order,
                               const REAL *values, int64_t e, int64_t end, int64_t n_edges, const REAL *x,
                               const REAL *dy, int64_t n_outputs, REAL *dx, REAL *dvalues, int add)
{
    VECTOR total[MOST], mine[MOST];
    for (int t = 0; t < T; t++) {
        total[t] = (VECTOR){0};
        if (to_values)
            mine[t] = ((const VECTOR *)x)[t];
    }
    for (; e < end; e++) {
        const VECTOR *from = (const VECTOR *)(dy + rows[e] * n_outputs);
        int64_t at = order[e], later = order[e + FAR_AHEAD < n_edges ? e + FAR_AHEAD : e];
        NAME(fetch)(T, dy + rows[e + AHEAD < n_edges ? e + AHEAD : e] * n_outputs);
        if (to_x)
            __builtin_prefetch(values + later);
        if (to_values)
            __builtin_prefetch(dvalues + later, 1);
        VECTOR even = {0}, odd = {0};
        for (int t = 0; t < T; t++) {
            VECTOR gradient = from[t];
            if (to_values && t % 2)
                odd += gradient * mine[t];
            else if (to_values)
                even += gradient * mine[t];
            if (to_x)
                total[t] += values[at] * gradient;
        }
        if (to_values)
            dvalues[at] += NAME(sum)(even + odd);
    }
    if (to_x)
        for (int t = 0; t < T; t++)
            ((VECTOR *)dx)[t] = total[t] + (add ? ((VECTOR *)dx)[t] : (VECTOR){0});
}

/*
 * Add W' dy to dx, and dy x' at the edges to dvalues; either may be NULL. By columns, those of a channel together. Of a
 * linear layer, where n_samples is not 0, dx is (n_samples, n_channels), and is set, as y is in forward.
 */
void NAME(backward)(const int32_t *pointers, const int32_t *rows, const int32_t *order, const REAL *values,
                    const int64_t *base, const int64_t *segments, const REAL *x, const REAL *dy, REAL *dx,
                    REAL *dvalues, int64_t n_channels, int64_t n_taps, int64_t n_segments, int64_t length,
                    int64_t n_samples, int64_t threads)
{
    int64_t n_outputs = n_segments * length, n_edges = pointers[n_channels * n_taps];
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t part = 0; part < threads; part++) {
        int64_t first = share(pointers, n_channels, n_taps, part, threads),
                last = share(pointers, n_channels, n_taps, part + 1, threads);
        for (int64_t s = 0; s < n_segments; s++)
            for (int64_t k = 0, T; k < length; k += T * LANES) {
                T = next_tile((length - k) / LANES);
                const REAL *from = dy + s * length + k;
                REAL turned[SIDE][MOST * LANES], *results[SIDE];
                for (int64_t j = first, b = 0; j < last; j++) {
                    int64_t e = pointers[j], end = pointers[j + 1], at = base[j] + segments[s] + k;
                    REAL *to = results[b] = turned[b];
                    if (!n_samples && e == end)
                        continue;
                    if (!n_samples && dx)
                        to = dx + at;
#define COLUMN_TIMES(T, TO_X, TO_VALUES) \
    NAME(column_times)(T, TO_X, TO_VALUES, rows, order, values, e, end, n_edges, TO_VALUES ? x + at : NULL, from, \
                       n_outputs, to, dvalues, !n_samples)
#define BOTH(T) COLUMN_TIMES(T, 1, 1)
#define INPUT(T) COLUMN_TIMES(T, 1, 0)
#define VALUES(T) COLUMN_TIMES(T, 0, 1)
                    if (dx && dvalues)
                        FOR_TILE(T, BOTH)
                    else if (dx)
                        FOR_TILE(T, INPUT)
                    else
                        FOR_TILE(T, VALUES)
#undef COLUMN_TIMES
#undef BOTH
#undef INPUT
#undef VALUES
                    if (n_samples && dx && (++b == SIDE || j + 1 == last)) {
                        int64_t samples = n_samples - k < T * LANES ? n_samples - k : T * LANES;
                        NAME(move)(0, dx + k * n_channels + j + 1 - b, n_channels, results, b, samples);
                        b = 0;
                    }
                }
            }
    }
}

/* One sample, one pixel: y = W x + bias. */
void NAME(one)(const int32_t *pointers, const int32_t *columns, const REAL *values, const REAL *bias, const REAL *x,
               REAL *y, int64_t n_rows, int64_t threads)
{
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t part = 0; part < threads; part++) {
        int64_t first = share(pointers, n_rows, 1, part, threads), last = share(pointers, n_rows, 1, part + 1, threads);
        for (int64_t i = first; i < last; i++) {
            REAL total[4] = {bias ? bias[i] : 0, 0, 0, 0};
            int64_t e = pointers[i], end = pointers[i + 1];
            for (; e + 4 <= end; e += 4)
                for (int k = 0; k < 4; k++)
                    total[k] += values[e + k] * x[columns[e + k]];
            for (; e < end; e++)
                total[0] += values[e] * x[columns[e]];
            y[i] = (total[0] + total[1]) + (total[2] + total[3]);
        }
    }
}

/*
 * Between samples outermost, `outer` (n_samples, n_runs * run), and samples innermost, `inner` (n_pixels, width): run r
 * is the pixels from starts[r] on. Inwards, the samples from n_samples to width become zeros.
 */
INLINE void NAME(transpose)(int inwards, REAL *outer, REAL *inner, const int64_t *starts, int64_t n_samples,
                            int64_t width, int64_t n_runs, int64_t run, int64_t threads)
{
    int64_t n_pixels = n_runs * run;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t block = 0; block < (n_pixels + SIDE - 1) / SIDE; block++) {
        int64_t first = block * SIDE, n_here = n_pixels - first < SIDE ? n_pixels - first : SIDE;
        REAL *pixels[SIDE];
        for (int64_t b = 0, r = first / run, k = first % run; b < n_here; b++, k++) {
            if (k == run)
                r++, k = 0;
            pixels[b] = inner + (starts[r] + k) * width;
        }
        NAME(move)(inwards, outer + first, n_pixels, pixels, n_here, n_samples);
        if (inwards)
            for (int64_t b = 0; b < n_here; b++)
                for (int64_t a = n_samples; a < width; a++)
                    pixels[b][a] = 0;
    }
}

void NAME(inwards)(REAL *outer, REAL *inner, const int64_t *starts, int64_t n_samples, int64_t width, int64_t n_runs,
                   int64_t run, int64_t threads)
{
    NAME(transpose)(1, outer, inner, starts, n_samples, width, n_runs, run, threads);
}

void NAME(outwards)(REAL *outer, REAL *inner, const int64_t *starts, int64_t n_samples, int64_t width, int64_t n_runs,
                    int64_t run, int64_t threads)
{
    NAME(transpose)(0, outer, inner, starts, n_samples, width, n_runs, run, threads);
}
#endif
