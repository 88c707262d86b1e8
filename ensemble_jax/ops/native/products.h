/* Vectors of numbers, memory for them, and products of matrices, for one source file. */
#ifndef ENSEMBLE_JAX_PRODUCTS_H_
#define ENSEMBLE_JAX_PRODUCTS_H_

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* LANES: numbers in a vector. ROWS: of a product that is summed in registers, together with the two
   vectors of columns that are a panel; half of the registers there are. */
#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 8 };
#elif defined(__AVX__)
enum { LANES = 8, ROWS = 4 };
#elif defined(__aarch64__)
enum { LANES = 4, ROWS = 8 };
#else
enum { LANES = 4, ROWS = 4 };
#endif

enum { PANEL = 2 * LANES };

/* Of neighbouring channels. Images begin where they like. */
typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

static inline int64_t rounded_up(int64_t number, int64_t unit) {
  return (number + unit - 1) / unit * unit;
}

static inline Vector get(const float *from) { return *(const Vector *)from; }

static inline void put(float *to, Vector vector) { *(Vector *)to = vector; }

/* The first `count` numbers, zeros behind them. */
static inline Vector get_some(const float *from, int64_t count) {
  if (count >= LANES) return get(from);
  Vector vector = {0};
  memcpy(&vector, from, count * sizeof(float));
  return vector;
}

static inline void put_some(float *to, Vector vector, int64_t count) {
  if (count >= LANES)
    put(to, vector);
  else
    memcpy(to, &vector, count * sizeof(float));
}

/* ---- Memory that a thread keeps from call to call, since the system gives it page by page. ---- */

typedef struct {
  float *numbers;
  int64_t count;
} Buffer;

static _Thread_local Buffer of_a_call, of_a_task;

static float *take(Buffer *buffer, int64_t count) {
  if (count > buffer->count) {
    free(buffer->numbers);
    buffer->numbers = aligned_alloc(64, rounded_up(count * sizeof(float), 64));
    buffer->count = buffer->numbers == NULL ? 0 : count;
  }
  return buffer->numbers;
}

/* ---- Products of matrices ---- */

/* Columns are kept in panels: all rows of the first PANEL columns, then all of the next. */
static inline int64_t in_panels(int64_t row, int64_t column, int64_t rows) {
  return column / PANEL * rows * PANEL + row * PANEL + column % PANEL;
}

/* `sums[r][v] (+)= sum_k left[r * row_step + k * step] * right[k][v]`, ROWS times `vectors`. */
static inline __attribute__((always_inline)) void multiply_block(
    int vectors, bool add, int64_t depth, const float *left, int64_t row_step, int64_t step,
    const float *right, float *sums) {
  Vector sum[ROWS][2];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++)
      sum[r][v] = add ? get(sums + r * PANEL + v * LANES) : (Vector){0};
  for (int64_t k = 0; k < depth; k++) {
    Vector factor[2];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) factor[v] = get(right + k * PANEL + v * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) sum[r][v] += left[r * row_step + k * step] * factor[v];
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) put(sums + r * PANEL + v * LANES, sum[r][v]);
}

/* The same for a panel of `columns` columns, at most PANEL, and any multiple of ROWS rows. */
static void multiply_panel(bool add, int64_t rows, int64_t columns, int64_t depth,
                           const float *left, int64_t row_step, int64_t step, const float *right,
                           float *sums) {
  for (int64_t r = 0; r < rows; r += ROWS, left += ROWS * row_step, sums += ROWS * PANEL) {
    if (columns > LANES && add)
      multiply_block(2, true, depth, left, row_step, step, right, sums);
    else if (columns > LANES)
      multiply_block(2, false, depth, left, row_step, step, right, sums);
    else if (add)
      multiply_block(1, true, depth, left, row_step, step, right, sums);
    else
      multiply_block(1, false, depth, left, row_step, step, right, sums);
  }
}

#endif
